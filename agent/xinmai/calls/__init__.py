"""Call probes: a vendor's function, its arguments and where the results lie, declared in Python.

Types come from cffi (`cffi_types`) or ctypes (`ctypes_types`) into one model (`ctype`). Arguments
(`arguments`), scratch memory (`memory`), places in it (`places`) and results (`results`) are
checked when they are declared (`compile`), and become the tuples of `xinmai_native.calls`.
"""
