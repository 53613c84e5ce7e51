"""What a program that loads the neutral SDK sees, healthy and under each fault of a scenario."""

from __future__ import annotations

import shutil
import signal
import struct
from pathlib import Path

import pytest

from fakes.standins import ROOT, child, hours_ago

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")

QUIET = "devices 4\ndevice * power 100W\n"


def run(directory: Path, scenario: str, script: str, **more: str) -> str:
    done = child(directory, scenario, script, **more)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_reads_what_the_trace_says_at_that_moment(tmp_path: Path) -> None:
    run(
        tmp_path,
        "devices 2\n",
        """
one = handle(1)
for _ in range(300):
    before = now()
    code, got = power(one)
    assert code == 0
    assert got in (peek(1, b"power", 0, before), peek(1, b"power", 0, now())), got
    time.sleep(0.001)
""",
    )


def test_two_processes_share_one_timeline(tmp_path: Path) -> None:
    script = "print([peek(d, b'energy', 0, 10**13) for d in range(4)], now() > 10**12)"
    first, second = (run(tmp_path, "", script, t0_ns=hours_ago(1)) for _ in range(2))
    assert first == second
    assert first.endswith("True\n")


def test_identity_is_stable_and_distinct(tmp_path: Path) -> None:
    script = """
for f in "Uuid", "Serial", "Pci", "Name":
    text = c.create_string_buffer(96)
    print([(getattr(sdk, "nsdkDevice" + f)(handle(i), text, 96), text.value) for i in range(4)])
"""
    first, second = (run(tmp_path, QUIET, script) for _ in range(2))
    assert first == second
    uuids = first.splitlines()[0]
    assert len(set(uuids.split("'")[1::2])) == 4


def test_a_replayed_recording_holds_between_its_rows(tmp_path: Path) -> None:
    (tmp_path / "trace.csv").write_text("t_ns,power_mw,x\n5000,7,1\n1000005000,9,2\n", "utf-8")
    scenario = "device * power replay trace.csv column power_mw period 2s\n"
    script = "print([peek(0, b'power', 0, t) for t in (0, 999999999, 1000000000, 2000000000)])"
    assert run(tmp_path, scenario, script) == "[7, 7, 9, 7]\n"


def test_a_hang_keeps_one_thread_and_no_other_device(tmp_path: Path) -> None:
    run(
        tmp_path,
        QUIET + "at 0s device 3 hang power\n",
        """
stuck, fine = handle(3), handle(0)
thread = threading.Thread(target=power, args=(stuck,), daemon=True)
thread.start()
assert [power(fine) for _ in range(1000)] == [(0, 100000)] * 1000
thread.join(0.3)
assert thread.is_alive()
os._exit(0)
""",
    )


def test_a_hang_with_an_end_returns_then(tmp_path: Path) -> None:
    run(
        tmp_path,
        QUIET + "at 0s..700ms hang power\n",
        "assert power(handle(0)) == (0, 100000); assert now() >= 700_000_000",
    )


def test_a_hang_while_a_file_is_there_ends_with_it(tmp_path: Path) -> None:
    run(
        tmp_path,
        QUIET + "while stuck hang power\n",
        """
flag = os.path.join(os.path.dirname(os.environ["XINMAI_STANDIN_SCENARIO"]), "stuck")
one = handle(0)
assert power(one)[0] == 0
open(flag, "w").close()
thread = threading.Thread(target=power, args=(one,))
thread.start()
thread.join(0.3)
assert thread.is_alive()
os.unlink(flag)
thread.join()
""",
    )


def test_a_crash_kills_the_process_in_that_call(tmp_path: Path) -> None:
    script = "print(power(handle(1)), flush=True); power(handle(0)); print('never')"
    done = child(tmp_path, QUIET + "at 0s device 0 crash SEGV power\n", script)
    assert (done.returncode, done.stdout) == (-signal.SIGSEGV, "(0, 100000)\n")


def test_a_crash_kills_though_its_thread_blocks_the_signal(tmp_path: Path) -> None:
    script = """
import signal
def call():
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    power(handle(0))
thread = threading.Thread(target=call)
thread.start()
thread.join()
print("never")
"""
    done = child(tmp_path, QUIET + "at 0s device 0 crash BUS power\n", script)
    assert (done.returncode, done.stdout) == (-signal.SIGBUS, "")


def test_a_leak_grows_with_every_call(tmp_path: Path) -> None:
    run(
        tmp_path,
        QUIET + "at 0s leak 1Mi power\n",
        """
def pages():
    return int(open("/proc/self/statm").read().split()[1])
one, before = handle(0), pages()
for _ in range(50):
    power(one)
assert pages() - before > 45 * 2**20 // os.sysconf("SC_PAGESIZE")
""",
    )


def test_a_slow_call_takes_at_least_so_long(tmp_path: Path) -> None:
    run(
        tmp_path,
        QUIET + "at 0s slow 40ms power jitter 5ms\n",
        "one, t = handle(0), now(); power(one); assert now() - t >= 40_000_000",
    )


def test_errors_and_sentinels_are_the_vendors(tmp_path: Path) -> None:
    scenario = QUIET + "at 0s device 1 error 4 power\nat 0s device 2 sentinel power\n"
    scenario += "at 0s device 3 reads 7 power\ndevice 0 power none\n"
    out = run(tmp_path, scenario, "print(*(power(handle(i)) for i in range(4)), sep='\\n')")
    assert out.split("\n")[:4] == ["(3, 0)", "(4, 0)", "(0, 4294967295)", "(0, 7)"]


def test_a_lost_device_stays_lost_for_its_old_handle(tmp_path: Path) -> None:
    run(
        tmp_path,
        QUIET + "device * energy counts 1k\nat 1s..1500ms device 1 lost\n",
        """
old = handle(1)
assert power(old)[0] == 0
eventually(lambda: power(old)[0] == 15)
assert power(handle(0))[0] == 0 and not sdk.nsdkDeviceIsAlive(old) & 1
eventually(lambda: sdk.nsdkDeviceByIndex(1, REF(c.c_void_p())) == 0)
assert power(old)[0] == 15
assert power(handle(1)) == (0, 100000) and sdk.nsdkDeviceIsAlive(handle(1)) & 1
assert peek(1, b"energy", 0, 2_500_000_000) == 1000
assert peek(0, b"energy", 0, 2_500_000_000) == 2500
""",
    )


def test_an_absent_device_is_not_enumerated(tmp_path: Path) -> None:
    run(
        tmp_path,
        QUIET + "at 0s..2h device 1 absent\n",
        """
n = U32()
assert (sdk.nsdkDeviceCount(REF(n)), n.value) == (0, 3)
text = c.create_string_buffer(96)
sdk.nsdkDeviceSerial(handle(1), text, 96)
assert text.value == b"N1-0002"
""",
        t0_ns=hours_ago(1),
    )


def test_an_overrun_writes_behind_the_struct(tmp_path: Path) -> None:
    run(
        tmp_path,
        QUIET + "at 0s overrun 8 power\n",
        """
buffer = (c.c_ubyte * 32)()
assert sdk.nsdkDeviceGetPower(handle(0), buffer) == 0
assert bytes(buffer)[4:12] == b"\\xa5" * 8 and bytes(buffer)[12:] == bytes(20)
""",
    )


def test_prints_go_where_the_library_finds_stdout(tmp_path: Path) -> None:
    out = run(tmp_path, QUIET + 'at 0s print "[nsdk] warning" power\n', "power(handle(0))")
    assert out == "[nsdk] warning\n"


def test_events_are_given_once(tmp_path: Path) -> None:
    run(
        tmp_path,
        QUIET + 'at 400ms device 2 event 79 "fell off the bus"\n',
        """
class Event(c.Structure):
    _fields_ = [("device", U32), ("code", U32), ("time_us", I64), ("message", c.c_char * 96)]
event = Event()
eventually(lambda: sdk.nsdkEventNext(REF(event)) == 0)
assert (event.device, event.code, event.message) == (2, 79, b"fell off the bus")
assert abs(event.time_us - time.time_ns() // 1000) < 30_000_000
assert sdk.nsdkEventNext(REF(event)) == 16
""",
    )


def test_a_struct_of_another_version_is_refused(tmp_path: Path) -> None:
    run(
        tmp_path,
        QUIET + "device * util.core 42.5%\n",
        """
u = (U32 * 5)(20 | 2 << 24)
assert sdk.nsdkDeviceGetUtilization(handle(0), u) == 0 and u[1] == 42
u = (U32 * 5)(20 | 1 << 24)
assert sdk.nsdkDeviceGetUtilization(handle(0), u) == 5
""",
    )


def test_fields_have_a_status_each(tmp_path: Path) -> None:
    run(
        tmp_path,
        QUIET + "device * link.rx_bytes[0..3] counts 8G\nat 0s error 10 link.rx_bytes[2]\n",
        """
class Field(c.Structure):
    _fields_ = [("id", U32), ("scope", U32), ("time_us", I64), ("type", c.c_int),
                ("status", c.c_int), ("value", c.c_uint64)]
fields = (Field * 5)()
for field, pair in zip(fields, [(1, 0), (5, 1), (5, 2), (5, 99), (77, 0)]):
    field.id, field.scope = pair
assert sdk.nsdkDeviceGetFieldValues(handle(0), 5, fields) == 0
assert [f.status for f in fields] == [0, 0, 10, 3, 3]
assert (fields[0].type, fields[0].value & 0xffffffff) == (0, 100000)
assert fields[1].type == 2 and fields[1].value > 0
""",
    )


def test_calls_are_counted_across_processes(tmp_path: Path) -> None:
    file = tmp_path / "calls"
    script = "one = handle(0)\nfor _ in range(10): power(one)\nsdk.nsdkShutdown()"
    for _ in range(2):
        run(tmp_path, QUIET, script, calls=str(file))
    counts = {
        name.rstrip(b"\0").decode(): calls
        for name, calls in struct.iter_unpack("<56sQ", file.read_bytes())
        if calls
    }
    assert counts["nsdkDeviceGetPower"] == 20
    assert (counts["(open)"], counts["(close)"]) == (2, 2)


def test_setters_do_nothing_and_leave_a_line(tmp_path: Path) -> None:
    file = tmp_path / "violations"
    script = "one = handle(0); print(sdk.nsdkDeviceReset(one), sdk.nsdkDeviceSetPowerLimit(one, 1))"
    assert run(tmp_path, QUIET, script, violations=str(file)) == "4 4\n"
    assert file.read_text("utf-8").split() == ["nsdkDeviceReset", "nsdkDeviceSetPowerLimit"]


def test_a_bad_scenario_fails_init_with_its_line(tmp_path: Path) -> None:
    done = child(
        tmp_path,
        "devices 2\ndevice * powr 5\n",
        "print(sdk.nsdkInit(), sdk.nsdkErrorString(999).decode())",
    )
    assert done.stdout.startswith("999 ")
    assert 'scenario.txt:2: no quantity "powr"; there are power, ' in done.stdout
    assert "scenario.txt:2" in done.stderr


def test_the_documented_scenario_is_understood(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "plugin" / "standin.md").read_text("utf-8")
    scenario = page.split("\n```\n")[2]
    assert scenario.startswith("devices 4\n")
    assert "hang power" in scenario
    run(tmp_path, scenario, "assert power(handle(0))[0] == 0")


def test_nothing_is_read_before_init_and_after_shutdown(tmp_path: Path) -> None:
    script = """
assert power(1)[0] == 2
assert sdk.nsdkDeviceCount(REF(U32())) == 1
assert sdk.nsdkInit() == 0
one = handle(0)
assert sdk.nsdkShutdown() == 0 and power(one)[0] == 1
assert sdk.nsdkInit() == 0 and power(one)[0] == 0
"""
    run(tmp_path, QUIET, script)
