"""What the processor is and can do."""

import functools
from pathlib import Path

# The instructions of x86 for it: any of them will do.
BFLOAT16 = {"avx512_bf16", "amx_bf16", "avx_ne_convert"}


@functools.cache
def processor_says(what: str) -> str:
    """What Linux says of the first processor, such as its "flags"; empty elsewhere."""
    information = Path("/proc/cpuinfo")
    if not information.exists():
        return ""
    for line in information.read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == what:
            return value.strip()
    return ""


def processor_features() -> set[str]:
    """Its instruction sets, as Linux names them; none elsewhere."""
    return set(processor_says("flags").split())


def emulates_bfloat16() -> bool:
    """Whether it is known to lack every instruction that computes with bfloat16.

    AVX-512 alone has none: there oneDNN goes through float32, and takes longer than
    float32 does.
    """
    features = processor_features()
    return "avx2" in features and not features & BFLOAT16
