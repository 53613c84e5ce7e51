"""C sources of the stand-in SDKs, compiled on the machine that wants one.

The core in this folder simulates devices from a scenario; each sub-folder is one vendor's ABI on
top, described by its `standin.toml`.
"""
