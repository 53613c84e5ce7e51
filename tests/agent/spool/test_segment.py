from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest

from agent.spool.helpers import HEADER, write_segment
from xinmai.errors import SpoolError
from xinmai.spool import disk
from xinmai.spool.layout import HEADER_BYTES, MAX_RECORD_BYTES
from xinmai.spool.segment import (
    BATCH,
    INVENTORY,
    SegmentWriter,
    read_meta,
    read_record,
    scan,
    segment_name,
)

PAYLOADS = [b"first", b"", b"third" * 100, b"fourth"]


def payloads_in(path: Path) -> list[bytes]:
    return [record.payload for record in scan(path)[1]]


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 0x10
    path.write_bytes(data)


@pytest.mark.statement("SPOOL-1")
def test_records_come_back_as_they_were_written(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path / "a.seg", HEADER)
    offset = writer.append(INVENTORY, 0, "key", b"", b"inventory")
    second = writer.append(BATCH, 2**63, "schlüssel", b"meta", b"payload")
    writer.close()
    found, records = scan(tmp_path / "a.seg")
    first_record, record = list(records)
    assert (first_record.kind, first_record.offset) == (INVENTORY, offset)
    assert (record.kind, record.seq, record.key) == (BATCH, 2**63, "schlüssel")
    assert (record.meta, record.payload, record.offset) == (b"meta", b"payload", second)
    assert found.header == HEADER
    assert found.good_bytes == found.file_bytes == second + record.size
    assert not found.damaged


@pytest.mark.statement("SPOOL-1")
def test_one_record_is_read_back_by_its_offset(tmp_path: Path) -> None:
    path, offsets = write_segment(tmp_path, PAYLOADS)
    assert read_record(path, offsets[2]).payload == PAYLOADS[2]
    assert read_record(path, offsets[2], HEADER).seq == 3
    assert read_meta(path, offsets[3], HEADER) == b"meta4"


@pytest.mark.statement("SPOOL-1")
@pytest.mark.fault("E6")
def test_short_write_is_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.seg"
    writer = SegmentWriter(path, HEADER)
    writer.append(BATCH, 1, "", b"", b"kept")
    before = path.read_bytes()
    real = os.pwritev

    def short(descriptor: int, buffers: list[bytes], offset: int) -> int:
        return real(descriptor, buffers[:1], offset)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwritev", short)
        with pytest.raises(OSError, match="short write") as caught:
            writer.append(BATCH, 2, "", b"", b"lost" * 1000)
    assert caught.value.errno == errno.ENOSPC
    assert path.read_bytes() == before
    writer.append(BATCH, 2, "", b"", b"again")
    writer.close()
    assert payloads_in(path) == [b"kept", b"again"]


@pytest.mark.statement("SPOOL-2")
@pytest.mark.parametrize("where", [0, 20, 34, 45, 60, 70])
def test_record_behind_a_damaged_one_is_found(tmp_path: Path, where: int) -> None:
    path, offsets = write_segment(tmp_path, PAYLOADS)
    flip(path, offsets[2] + where)
    found, records = scan(path)
    assert [record.seq for record in records] == [1, 2, 4]
    assert found.good_bytes == offsets[2]
    assert [(damage.offset, damage.end) for damage in found.damages] == [(offsets[2], offsets[3])]


@pytest.mark.statement("SPOOL-2")
def test_damaged_payload_leaves_seq_and_meta_known(tmp_path: Path) -> None:
    path, offsets = write_segment(tmp_path, PAYLOADS)
    flip(path, offsets[3] - 1)
    found, records = scan(path)
    assert len(list(records)) == 3
    [damage] = found.damages
    assert damage.head is not None
    assert (damage.head.seq, damage.meta) == (3, b"meta3")


@pytest.mark.statement("SPOOL-2")
def test_zeros_in_the_middle_cost_what_stood_there(tmp_path: Path) -> None:
    path, offsets = write_segment(tmp_path, [b"x" * 100] * 6)
    data = bytearray(path.read_bytes())
    data[offsets[1] + 50 : offsets[4] + 10] = bytes(offsets[4] - offsets[1] - 40)
    path.write_bytes(data)
    assert [record.seq for record in scan(path)[1]] == [1, 6]


@pytest.mark.statement("SPOOL-3")
def test_record_inside_a_payload_is_never_taken_for_one(tmp_path: Path) -> None:
    inner, _ = write_segment(tmp_path, [b"forged"])
    (tmp_path / "outer").mkdir()
    path, offsets = write_segment(tmp_path / "outer", [inner.read_bytes(), b"true"])
    flip(path, offsets[0] + 1)
    assert payloads_in(path) == [b"true"]


@pytest.mark.statement("SPOOL-3")
def test_records_of_another_segment_do_not_hold_at_the_same_offset(tmp_path: Path) -> None:
    path, offsets = write_segment(tmp_path, PAYLOADS)
    other, _ = write_segment(tmp_path, PAYLOADS, replace(HEADER, queue="b" * 16))
    data = path.read_bytes()[: offsets[2]] + other.read_bytes()[offsets[2] :]
    path.write_bytes(data)
    assert payloads_in(path) == PAYLOADS[:2]


@pytest.mark.statement("SPOOL-4")
def test_second_header_stands_in_for_the_first(tmp_path: Path) -> None:
    path, _ = write_segment(tmp_path, PAYLOADS)
    flip(path, 50)
    found, records = scan(path)
    assert found.header == HEADER
    assert found.damaged
    assert len(list(records)) == 4


@pytest.mark.statement("SPOOL-4")
def test_file_name_stands_in_for_both_headers(tmp_path: Path) -> None:
    path, _ = write_segment(tmp_path, PAYLOADS)
    path.write_bytes(bytes(HEADER_BYTES) + path.read_bytes()[HEADER_BYTES:])
    found, records = scan(path)
    assert found.header == replace(HEADER, owner="")
    assert [record.payload for record in records] == PAYLOADS


@pytest.mark.statement("SPOOL-4")
@pytest.mark.parametrize("content", [b"", b"hello", bytes(4096)])
def test_file_without_header_and_name_is_no_segment(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "strange.seg"
    path.write_bytes(content)
    with pytest.raises(SpoolError, match="no segment"):
        scan(path)


def test_missing_file_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(SpoolError, match="cannot read"):
        scan(tmp_path / segment_name(HEADER))
    with pytest.raises(SpoolError, match="cannot read"):
        read_record(tmp_path / segment_name(HEADER), HEADER_BYTES)


def test_offset_without_record_is_said_so(tmp_path: Path) -> None:
    path, offsets = write_segment(tmp_path, PAYLOADS)
    with pytest.raises(SpoolError, match="no record"):
        read_record(path, offsets[1] + 1)
    flip(path, offsets[3] + 41)
    with pytest.raises(SpoolError, match="damaged"):
        read_meta(path, offsets[3], HEADER)


@pytest.mark.statement("SPOOL-5")
def test_reserved_space_does_not_show_in_the_size(tmp_path: Path) -> None:
    path = tmp_path / "a.seg"
    writer = SegmentWriter(path, HEADER, reserve_bytes=2**20)
    writer.append(BATCH, 1, "", b"", b"payload")
    stat = path.stat()
    assert stat.st_size == writer.size
    if writer.allocated != 2**20:
        pytest.skip("this filesystem cannot reserve")
    assert stat.st_blocks * 512 >= 2**20
    assert not scan(path)[0].damaged
    writer.close()
    assert path.stat().st_blocks * 512 < 2**16


@pytest.mark.statement("SPOOL-5")
def test_segment_works_where_nothing_can_be_reserved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "reserve", lambda *_: False)
    writer = SegmentWriter(tmp_path / "a.seg", HEADER, reserve_bytes=2**20)
    assert writer.allocated == HEADER_BYTES
    writer.append(BATCH, 1, "", b"", b"payload")
    writer.close()
    assert payloads_in(tmp_path / "a.seg") == [b"payload"]


@pytest.mark.statement("SPOOL-5")
def test_failed_begin_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> bool:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(disk, "reserve", full)
    with pytest.raises(OSError, match="full"):
        SegmentWriter(tmp_path / "a.seg", HEADER, reserve_bytes=2**20)
    assert list(tmp_path.iterdir()) == []


def test_existing_file_is_never_written(tmp_path: Path) -> None:
    path, _ = write_segment(tmp_path, PAYLOADS)
    before = path.read_bytes()
    with pytest.raises(FileExistsError):
        SegmentWriter(path, HEADER)
    assert path.read_bytes() == before


@pytest.mark.statement("SPOOL-6")
def test_too_long_record_is_refused(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path / "a.seg", HEADER)
    with pytest.raises(ValueError, match="too long"):
        writer.append(BATCH, 1, "", b"", bytes(MAX_RECORD_BYTES + 1))
    with pytest.raises(ValueError, match="too long"):
        writer.append(BATCH, 1, "k" * 2**16, b"", b"")
    writer.close()
    assert payloads_in(tmp_path / "a.seg") == []


def test_too_long_header_field_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="longer than 16"):
        SegmentWriter(tmp_path / "a.seg", replace(HEADER, queue="q" * 17))
    assert list(tmp_path.iterdir()) == []


def test_scan_ends_where_the_file_ended_when_it_began(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path / "a.seg", HEADER)
    writer.append(BATCH, 1, "", b"", b"before")
    found, records = scan(tmp_path / "a.seg")
    writer.append(BATCH, 2, "", b"", b"after")
    assert [record.payload for record in records] == [b"before"]
    assert not found.damaged
    writer.close()


def test_many_large_records_stream_through(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path / "a.seg", replace(HEADER, stream="log"))
    for seq in range(20):
        writer.append(BATCH, seq, "", b"", bytes([seq]) * 2**20)
    writer.close()
    assert [record.payload[0] for record in scan(tmp_path / "a.seg")[1]] == list(range(20))
