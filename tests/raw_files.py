"""Image files made by hand, for what Pillow does not write."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image

from tests.images import encode, smooth

SIZE = (40, 30)  # width and height of those that have no other
PIXELS = smooth(*SIZE)
RGB = Image.fromarray(PIXELS)
PALETTE = RGB.quantize(15)
FORMAT_OF = {"jpg": "JPEG", "png": "PNG", "gif": "GIF", "bmp": "BMP", "webp": "WEBP"}
LARGE = smooth(640, 512)  # large enough that a JPEG is shrunk while it is decoded


def chunk(name: bytes, content: bytes) -> bytes:
    """A chunk of a PNG file."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(width: int, height: int, *, colour: int, depth: int, rows: bytes, interlaced: bool = False) -> bytes:
    """A PNG file; `rows` is the filtered content."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def deep(colour: int, channels: int) -> bytes:
    """A PNG of 16 bits a channel."""
    levels = np.random.default_rng(0).integers(0, 65536, (SIZE[1], SIZE[0], channels)).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in levels)
    return png(*SIZE, colour=colour, depth=16, rows=rows)


_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def interlaced(pixels: np.ndarray) -> bytes:
    """An interlaced PNG of uint8 (height, width, 3)."""
    passes = [pixels[top::down, left::right] for left, top, right, down in _ADAM7]
    rows = b"".join(b"\0" + row.tobytes() for one in passes if one.size for row in one)
    return png(pixels.shape[1], pixels.shape[0], colour=2, depth=8, rows=rows, interlaced=True)


def with_chunk(name: bytes, content: bytes) -> bytes:
    """A PNG with one more chunk behind its header."""
    whole = encode(PIXELS)
    return whole[:33] + chunk(name, content) + whole[33:]


def segment(marker: int, content: bytes) -> bytes:
    """A segment of a JPEG file."""
    return struct.pack(">HH", 0xFF00 | marker, len(content) + 2) + content


def with_segments(*segments: bytes, pixels: np.ndarray = PIXELS) -> bytes:
    """A JPEG with more segments at its beginning."""
    whole = encode(pixels, "JPEG", quality=90)
    return whole[:2] + b"".join(segments) + whole[2:]


def exif(*tags: tuple[int, int, int, bytes], data: bytes = b"") -> bytes:
    """EXIF data; each tag is its number, type, count, and four bytes of value or place. Data begins behind the tags."""
    entries = b"".join(struct.pack("<HHI", *tag[:3]) + tag[3] for tag in tags)
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + b"\0\0\0\0" + data


def oriented(number: int) -> tuple[int, int, int, bytes]:
    """The tag of EXIF orientation."""
    return 0x0112, 3, 1, struct.pack("<HH", number, 0)


def tiff(
    width: int, height: int, rows: bytes, *, orientation: int = 1, loops: bool = False, channels: int = 3, bits: int = 8
) -> bytes:
    """An uncompressed TIFF of RGB or grey; that of one that loops says that its only page is the next one, too."""
    entries = [(256, 4, width), (257, 4, height), (258, 3, bits), (259, 3, 1), (262, 3, 2 if channels == 3 else 1)]
    entries += [(273, 4, 0), (274, 3, orientation), (277, 3, channels), (278, 4, height), (279, 4, len(rows))]
    behind = 8 + 2 + 12 * len(entries) + 4
    places = {258: (channels, behind), 273: (1, behind + 6)} if channels == 3 else {273: (1, behind + 6)}
    page = struct.pack("<H", len(entries))
    for tag, kind, value in entries:
        count, value = places.get(tag, (1, value))
        page += struct.pack("<HHII", tag, kind, count, value)
    next_page = struct.pack("<I", 8 * loops)
    return b"II*\0" + struct.pack("<I", 8) + page + next_page + struct.pack("<H", bits) * 3 + rows


def packed(values: np.ndarray, bits: int) -> bytes:
    """Rows of numbers with so many bits each, one right behind another; a row fills whole bytes."""
    texts = ("".join(f"{value:0{bits}b}" for value in row) for row in values.tolist())
    return b"".join(int(text, 2).to_bytes(len(text) // 8, "big") for text in texts)


def lossless_jpeg(width: int, height: int) -> bytes:
    """A JPEG of the lossless kind: libjpeg-turbo reads it, but not at a part of its size."""
    levels = (np.arange(width)[None] // 2 + np.arange(height)[:, None] // 3) % 256
    before = np.concatenate([np.r_[128, levels[:-1, 0]][:, None], levels[:, :-1]], axis=1)
    bits = []
    for step in (levels - before).ravel().tolist():
        category = abs(step).bit_length()
        bits.append(f"{category:04b}")
        if category:
            bits.append(f"{step if step > 0 else step + (1 << category) - 1:0{category}b}")
    text = "".join(bits)
    text += "1" * (-len(text) % 8)
    scan = int(text, 2).to_bytes(len(text) // 8, "big").replace(b"\xff", b"\xff\0")
    codes = segment(0xC4, bytes([0, 0, 0, 0, 9, *[0] * 12, *range(9)]))
    frame = segment(0xC3, struct.pack(">BHHB", 8, height, width, 1) + b"\1\x11\0")
    return b"\xff\xd8" + codes + frame + segment(0xDA, b"\1\1\0\1\0\0") + scan + b"\xff\xd9"


def with_scans(count: int) -> bytes:
    """A progressive JPEG whose last scan, which refines its colours, is there `count` times more."""
    whole = encode(PIXELS, "JPEG", progressive=True)
    last = whole[whole.rindex(b"\xff\xda") : -2]
    return whole[:-2] + last * count + whole[-2:]


def without_adobe(jpeg: bytes) -> bytes:
    """A JPEG of inks that does not say that they are inverted."""
    place = jpeg.index(b"\xff\xee")
    return jpeg[:place] + jpeg[place + 2 + int.from_bytes(jpeg[place + 2 : place + 4], "big") :]


def ycck(jpeg: bytes) -> bytes:
    """A JPEG of inks whose first three are said to be luminance and chrominance."""
    place = jpeg.index(b"Adobe") + 11
    return jpeg[:place] + b"\2" + jpeg[place + 1 :]


def multi_image(**options: object) -> bytes:
    """A JPEG with a second image behind it, as phones write for depth."""
    file = io.BytesIO()
    Image.fromarray(LARGE).save(file, "MPO", save_all=True, append_images=[RGB], **options)
    return file.getvalue()


def animation(file_format: str, frames: int = 3, **options: object) -> bytes:
    """An animation of frames in slightly different colours."""
    first, *others = [Image.new("RGB", SIZE, (200, number % 256, number // 256)) for number in range(frames)]
    return encode(first, file_format, save_all=True, append_images=others, **options)


def webp_of_many_frames(frames: int) -> bytes:
    """An animated WebP whose last frame is there many times."""
    whole = animation("WEBP", lossless=True)
    last = whole[whole.rindex(b"ANMF") :]
    content = whole[8:] + last * frames
    return b"RIFF" + struct.pack("<I", len(content)) + content


def gif(canvas: tuple[int, int], frame: tuple[int, int, int, int], *, interlaced: bool = False) -> bytes:
    """A GIF of one black frame at (left, top, width, height)."""
    pixels = io.BytesIO()
    Image.new("P", frame[2:]).save(pixels, "GIF", interlace=interlaced)
    whole = pixels.getvalue()
    place = whole.rindex(b",", 0, whole.index(b"\0" * 4 + struct.pack("<HH", *frame[2:])) + 4)
    return (
        whole[:6]
        + struct.pack("<HH", *canvas)
        + whole[10 : place + 1]
        + struct.pack("<HH", *frame[:2])
        + whole[place + 5 :]
    )


def bmp(width: int, height: int, bits: int, compression: int, content: bytes) -> bytes:
    """A BMP with a palette of greys, if it needs one; `content` is the image's data."""
    palette = b"".join(bytes([level, level, level, 0]) for level in range(256)) if bits == 8 else b""
    place = 54 + len(palette)
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, len(content), 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", place + len(content), 0, 0, place) + header + palette + content


def webp_header(width: int, height: int) -> bytes:
    """A lossless WebP that is all header."""
    content = b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14) + bytes(20)
    body = b"WEBPVP8L" + struct.pack("<I", len(content)) + content
    return b"RIFF" + struct.pack("<I", len(body)) + body


def broken_second_frame(animated: bytes, mark: bytes) -> bytes:
    """An animation that ends soon after its second frame has begun."""
    return animated[: animated.index(mark, animated.index(mark) + 1) + 12]


ZEROS = zlib.compress(bytes(100_000_000), 9)
FILE_OF_A_PHONE = b"\0\0\0\x18ftyp%b\0\0\0\0mif1heic" + bytes(500)
