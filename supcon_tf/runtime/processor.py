"""What the processor is and can do."""

import functools
from pathlib import Path


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
    """Whether it is known to lack what TensorFlow's bfloat16 kernels are made of."""
    features = processor_features()
    return "avx2" in features and not features & {"avx512f", "avx_ne_convert"}
