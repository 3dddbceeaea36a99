"""Images of every kind that people have, small and square, as the bytes of a file."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

SIZE = 24


def colours() -> np.ndarray:
    rng = np.random.default_rng(0)
    blocks = np.kron(rng.integers(20, 236, (6, 6, 3)), np.ones((4, 4, 1), int))
    return (blocks + rng.integers(-20, 20, blocks.shape)).astype(np.uint8)


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def exif(value: int, order: str = "<", kind: int = 3) -> bytes:
    """A block with a rational that no decoder can write again, and an orientation."""
    code = "HH" if kind == 3 else "I"
    values = (value, 0) if kind == 3 else (value,)
    return (
        b"Exif\0\0"
        + (b"II*\0" if order == "<" else b"MM\0*")
        + struct.pack(order + "IH", 8, 2)
        + struct.pack(order + "HHI" + code, 0x0112, kind, 1, *values)
        + struct.pack(order + "HHII", 0x011A, 5, 1, 38)
        + struct.pack(order + "Iii", 0, -1, 0)
    )


def bmp(bits: int, data: bytes, palette: bytes = b"", height=SIZE, method=0) -> bytes:
    start = 54 + len(palette)
    header = (40, SIZE, height, 1, bits, method, len(data), 0, 0, len(palette) // 4, 0)
    return (
        struct.pack("<2sIII", b"BM", start + len(data), 0, start)
        + struct.pack("<IiiHHIIiiII", *header)
        + palette
        + data
    )


def png(bits: int, interlace: int, rows: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", SIZE, SIZE, bits, 2, 0, 0, interlace)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body))
        + name
        + body
        + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )


def interlaced(pixels: np.ndarray) -> bytes:
    passes = ((0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4), (2, 4, 0, 2))
    rows = b"".join(
        b"\0" + row.tobytes()
        for top, down, left, right in (*passes, (0, 2, 1, 2), (1, 2, 0, 1))
        for row in pixels[top::down, left::right]
    )
    return png(8, 1, rows)


def without_segment(jpeg: bytes, marker: bytes) -> bytes:
    at = jpeg.index(marker)
    return jpeg[:at] + jpeg[at + 2 + int.from_bytes(jpeg[at + 2 : at + 4]) :]


def in_all() -> dict[str, bytes]:
    """What Pillow and TensorFlow read alike."""
    rgb = Image.fromarray(colours())
    few, gray = rgb.quantize(16), rgb.convert("L")
    alpha = np.arange(SIZE * SIZE).reshape(SIZE, SIZE) % 256
    clear = rgb.copy()
    clear.putalpha(Image.fromarray(alpha.astype(np.uint8)))
    cut = rgb.copy()
    cut.putalpha(Image.fromarray((alpha % 2 * 255).astype(np.uint8)))
    corner = tuple(map(int, colours()[0, 0]))
    rng = np.random.default_rng(1)
    palette = rng.integers(0, 256, 4 * 16, np.uint8).tobytes()
    indices = rng.integers(0, 256, 12 * SIZE, np.uint8).tobytes()
    pixels = rng.integers(0, 256, 4 * SIZE * SIZE, np.uint8).tobytes()
    table = {
        "jpeg": encoded(rgb, "JPEG"),
        "jpeg_444": encoded(rgb, "JPEG", subsampling=0, quality=95),
        "jpeg_progressive": encoded(rgb, "JPEG", progressive=True),
        "jpeg_gray": encoded(gray, "JPEG"),
        "jpeg_cmyk": encoded(rgb.convert("CMYK"), "JPEG"),
        "png": encoded(rgb, "PNG"),
        "png_bits": encoded(gray.convert("1"), "PNG"),
        "png_palette": encoded(few, "PNG"),
        "png_gray": encoded(gray, "PNG"),
        "png_alpha": encoded(clear, "PNG"),
        "png_gray_alpha": encoded(clear.convert("LA"), "PNG"),
        "png_clear_palette": encoded(few, "PNG", transparency=bytes(range(0, 160, 10))),
        "png_clear_colour": encoded(rgb, "PNG", transparency=corner),
        "png_interlaced": interlaced(colours()),
        "png_turned": encoded(rgb, "PNG", exif=exif(6)),
        "gif": encoded(few, "GIF"),
        "gif_clear": encoded(cut, "GIF"),
        "gif_frames": encoded(
            few, "GIF", save_all=True, append_images=[few.rotate(90)]
        ),
        "webp": encoded(rgb, "WEBP"),
        "webp_lossless": encoded(rgb, "WEBP", lossless=True),
        "webp_alpha": encoded(clear, "WEBP", lossless=True, exact=True),
        "webp_turned": encoded(rgb, "WEBP", lossless=True, exif=exif(8, ">")),
        "bmp": encoded(rgb, "BMP"),
        "bmp_palette": encoded(rgb.quantize(200), "BMP"),
        "bmp_gray": encoded(gray, "BMP"),
        "bmp_4": bmp(4, indices, palette),
        "bmp_1": bmp(1, indices[: 4 * SIZE], palette[:8]),
        "bmp_32": bmp(32, pixels),
        "bmp_top_down": bmp(24, pixels[: 3 * SIZE * SIZE], height=-SIZE),
    }
    for value in range(1, 9):
        order = "<>"[value % 2]
        table[f"jpeg_turned_{value}"] = encoded(rgb, "JPEG", exif=exif(value, order))
    return table


def in_pillow() -> dict[str, bytes]:
    """What only Pillow reads rightly; TensorFlow would err, or crash."""
    rgb = Image.fromarray(colours())
    frame = bytearray(encoded(rgb.crop((0, 0, 16, 16)).quantize(16), "GIF"))
    frame[6:10] = struct.pack("<HH", SIZE, SIZE)
    frames = {"save_all": True, "append_images": [rgb.rotate(90)], "lossless": True}
    cmyk = encoded(rgb.convert("CMYK"), "JPEG")
    return {
        "tiff": encoded(rgb, "TIFF"),
        "tiff_turned": encoded(rgb, "TIFF", tiffinfo={0x0112: 6}),
        "gif_small_frame": bytes(frame),
        "webp_frames": encoded(rgb, "WEBP", **frames),
        "jpeg_cmyk_unmarked": without_segment(cmyk, b"\xff\xee"),
        "bmp_5_5_5": bmp(16, bytes(range(256)) * 5),
        "bmp_rle": bmp(8, bytes([24, 3, 0, 0]) * 24 + b"\0\1", bytes(range(64)), 24, 1),
    }


def in_none() -> dict[str, bytes]:
    """What nothing should answer for."""
    rgb = Image.fromarray(colours())
    deep = np.full((SIZE, SIZE), 1000, np.uint16)
    good = in_all()
    cut = {f"cut_{kind}": good[kind][: len(good[kind]) // 2] for kind in _CUT}
    return {
        **cut,
        "png_16": encoded(Image.fromarray(deep), "PNG"),
        "png_16_rgb": png(16, 0, (b"\0" + bytes(6 * SIZE)) * SIZE),
        "tiff_16": encoded(Image.fromarray(deep), "TIFF"),
        "tiff_float": encoded(rgb.convert("F"), "TIFF"),
        "empty": b"",
        "text": b"not an image",
    }


_CUT = ("jpeg", "png", "gif", "webp", "bmp", "bmp_palette")
