"""Image file headers, read by TensorFlow operations: the orientation, and which files TensorFlow's decoders misread.

All functions work on one file inside a graph: `encoded` is a scalar string, and the results are scalars.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from data.image.preparing import PLAIN, Preparation

_JPEG, _PNG, _BMP, _GIF = b"\xff\xd8\xff", b"\x89PNG", b"BM", b"GIF8"
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
_PNG_DEPTH, _PNG_COLOURS = 24, 25  # positions of the bits per channel and of the colour type
_ORIENTATION_TAG = 0x0112
_SHORT, _LONG = 3, 4  # types of EXIF values
_SPARE = 64  # zeros appended to the file, so that a truncated header can be read


class Bytes(NamedTuple):
    """A file as a string and as numbers, int64 (size + `_SPARE`,)."""

    encoded: tf.Tensor
    numbers: tf.Tensor
    size: tf.Tensor

    @classmethod
    def of(cls, encoded: tf.Tensor) -> Bytes:
        """Return the bytes of one file, given as a scalar string."""
        numbers = tf.cast(tf.io.decode_raw(encoded, tf.uint8), tf.int64)
        return cls(encoded, tf.pad(numbers, [[0, _SPARE]]), tf.cast(tf.strings.length(encoded), tf.int64))

    def number(self, place: tf.Tensor | int, width: int, big_endian: tf.Tensor | bool) -> tf.Tensor:
        """Return the unsigned integer of `width` bytes at `place`; 0 past the end of the file."""
        digits = self._from(place, width)
        powers = tf.constant([256**power for power in range(width)], tf.int64)
        return tf.reduce_sum(digits * tf.where(big_endian, powers[::-1], powers))

    def begins(self, place: tf.Tensor | int, start: bytes) -> tf.Tensor:
        """Whether the bytes `start` are at `place`."""
        return tf.reduce_all(self._from(place, len(start)) == tf.constant(list(start), tf.int64))

    def holds(self, part: bytes) -> tf.Tensor:
        """Whether the bytes `part` occur anywhere."""
        return tf.size(tf.strings.split(self.encoded, part)) > 1

    def _from(self, place: tf.Tensor | int, count: int) -> tf.Tensor:
        start = tf.clip_by_value(tf.cast(place, tf.int64), 0, self.size)
        return self.numbers[start : start + count]


class _Segments(NamedTuple):
    """State of a walk over a file's parts: `place` of the next part, start of the EXIF data (or -1), and channels of a JPEG."""

    place: tf.Tensor
    exif: tf.Tensor
    channels: tf.Tensor


def orientation(encoded: tf.Tensor) -> tf.Tensor:
    """Return the EXIF orientation, int64 from 1 to 8, as Pillow finds it: from EXIF data, or else XMP.

    Examples:
        >>> int(orientation(tf.io.read_file("apple.png")))
        1
        >>> import io
        >>> from PIL import Image
        >>> file, image = io.BytesIO(), Image.new("RGB", (4, 4))
        >>> image.getexif()[0x0112] = 6
        >>> image.save(file, "JPEG", exif=image.getexif())
        >>> int(orientation(tf.constant(file.getvalue())))
        6
    """
    file = Bytes.of(encoded)
    exif = tf.where(
        file.begins(0, _JPEG),
        _jpeg_segments(file).exif,
        tf.where(
            file.begins(0, _PNG), _png_chunk(file, b"eXIf"), tf.where(_is_webp(file), _webp_exif(file), _number(-1))
        ),
    )
    exif = tf.where(file.begins(exif, b"Exif\0\0"), exif + 6, exif)
    found = tf.cond(exif >= 0, lambda: _in_exif(file, exif), lambda: _number(0))
    found = tf.cond(found > 0, lambda: found, lambda: _in_xmp(file))
    return tf.where((found >= 1) & (found <= 8), found, _number(1))


def refusals(encoded: tf.Tensor, preparation: Preparation = PLAIN) -> dict[str, tf.Tensor]:
    """Return the reasons why TensorFlow may refuse a file or read it otherwise than Pillow, each with whether it holds.

    Args:
        encoded: the file.
        preparation: the changes made to files before decoding in training, which TensorFlow's decoders cannot make.

    Examples:
        >>> [reason for reason, holds in refusals(tf.io.read_file("apple.png")).items() if holds]
        []
        >>> [reason for reason, holds in refusals(tf.constant(b"GIF89a")).items() if holds]
        ['a GIF without its end']
    """
    file = Bytes.of(encoded)
    is_png, is_gif, is_webp = file.begins(0, _PNG), file.begins(0, _GIF), _is_webp(file)
    is_bmp, is_jpeg = file.begins(0, _BMP), file.begins(0, _JPEG)
    flags = tf.where(file.begins(12, b"VP8X"), file.numbers[20], _number(0))
    lossless_alpha = file.begins(12, b"VP8L") & _bit(file.numbers[24], 4)
    return {
        "not a JPEG, PNG, GIF, BMP or WebP file": ~(is_png | is_gif | is_webp | is_bmp | is_jpeg),
        "a JPEG in CMYK": is_jpeg & (_jpeg_segments(file).channels == 4),
        "a BMP with a palette or transparency": is_bmp & (file.number(28, 2, False) != 24),
        "a GIF that is transparent or smaller than its canvas": is_gif & _gif_is_partial(file),
        "a GIF without its end": is_gif & (file.numbers[tf.maximum(file.size - 1, 0)] != ord(";")),
        "an animated WebP": is_webp & _bit(flags, 1),
        "a WebP with transparency": is_webp & (_bit(flags, 4) | lossless_alpha),
        "a PNG without its end": is_png & ~file.holds(_PNG_END),
        "a PNG with EXIF data as text": is_png & file.holds(b"Raw profile type exif"),
        **_unprepared(file, is_png, preparation),
    }


def _unprepared(file: Bytes, is_png: tf.Tensor, preparation: Preparation) -> dict[str, tf.Tensor]:
    """Return the reasons that concern files changed before training; `refusals` refuses the formats other than PNG already."""
    found = {}
    if preparation.background is not None:
        has_alpha = (
            (file.numbers[_PNG_COLOURS] == 4) | (file.numbers[_PNG_COLOURS] == 6) | (_png_chunk(file, b"tRNS") >= 0)
        )
        found["a PNG with transparency, which was filled in training"] = is_png & has_alpha
    if preparation.levels is not None:
        found["a PNG of 16 bits, which was stretched in training"] = is_png & (file.numbers[_PNG_DEPTH] == 16)
    return found


def _number(value: int) -> tf.Tensor:
    return tf.constant(value, tf.int64)


def _bit(number: tf.Tensor, place: int) -> tf.Tensor:
    return (number // 2**place) % 2 == 1


def _is_webp(file: Bytes) -> tf.Tensor:
    return file.begins(0, b"RIFF") & file.begins(8, b"WEBP")


def _walk(
    file: Bytes,
    start: int,
    least: int,
    goes_on: Callable[[_Segments], tf.Tensor],
    step: Callable[[_Segments], _Segments],
) -> _Segments:
    """Take steps from `start` while at least `least` bytes are left and `goes_on` holds."""
    found: _Segments
    (found,) = tf.while_loop(
        lambda at: (at.place + least <= file.size) & goes_on(at),
        lambda at: (step(at),),
        (_Segments(_number(start), _number(-1), _number(0)),),
    )
    return found


def _jpeg_segments(file: Bytes) -> _Segments:
    """Find the first EXIF data and the number of channels in the segments before the scan."""

    def goes_on(at: _Segments) -> tf.Tensor:
        return (file.numbers[at.place] == 0xFF) & (file.numbers[at.place + 1] != 0xDA)

    def step(at: _Segments) -> _Segments:
        kind, length = file.numbers[at.place + 1], file.number(at.place + 2, 2, True)
        is_exif = (kind == 0xE1) & file.begins(at.place + 4, b"Exif\0\0") & (at.exif < 0)
        is_frame = (kind >= 0xC0) & (kind <= 0xCF) & (kind != 0xC4) & (kind != 0xC8) & (kind != 0xCC)
        return _Segments(
            tf.where(kind == 0xFF, at.place + 1, at.place + 2 + length),  # a segment may begin with several bytes 0xFF
            tf.where(is_exif, at.place + 4, at.exif),
            tf.where(is_frame, file.number(at.place + 9, 1, True), at.channels),
        )

    return _walk(file, 2, 4, goes_on, step)


def _png_chunk(file: Bytes, kind: bytes) -> tf.Tensor:
    """Return where the data of the first chunk of a kind start; -1 if there is none."""

    def step(at: _Segments) -> _Segments:
        is_it = file.begins(at.place + 4, kind)
        length = file.number(at.place, 4, True)
        return _Segments(at.place + 12 + length, tf.where(is_it, at.place + 8, at.exif), at.channels)

    return _walk(file, 8, 12, lambda at: at.exif < 0, step).exif


def _webp_exif(file: Bytes) -> tf.Tensor:
    def step(at: _Segments) -> _Segments:
        is_exif = file.begins(at.place, b"EXIF")
        length = file.number(at.place + 4, 4, False)
        return _Segments(at.place + 8 + length + length % 2, tf.where(is_exif, at.place + 8, at.exif), at.channels)

    return _walk(file, 12, 8, lambda at: at.exif < 0, step).exif


def _in_exif(file: Bytes, start: tf.Tensor) -> tf.Tensor:
    """Return the orientation in EXIF data, which are a TIFF header and a table of tags; 0 if they have none."""
    is_big = file.begins(start, b"MM")
    table = start + file.number(start + 4, 4, is_big)
    count = tf.minimum(file.number(table, 2, is_big), 1000)

    def search(entry: tf.Tensor, found: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        place = table + 2 + 12 * entry
        kind = file.number(place + 2, 2, is_big)
        value = file.number(place + 8, 2, is_big)
        value = tf.where(kind == _LONG, file.number(place + 8, 4, is_big), value)
        is_it = (file.number(place, 2, is_big) == _ORIENTATION_TAG) & ((kind == _SHORT) | (kind == _LONG))
        return entry + 1, tf.where(is_it, value, found)

    _, found = tf.while_loop(lambda entry, _: entry < count, search, (_number(0), _number(0)))
    return tf.where(is_big | file.begins(start, b"II"), found, _number(0))


def _in_xmp(file: Bytes) -> tf.Tensor:
    """Return the orientation in an XMP packet, which Pillow uses where EXIF data have none; 0 if there is none."""
    behind = tf.concat([tf.strings.split(file.encoded, b"tiff:Orientation"), [""]], 0)[1]
    value = tf.strings.regex_replace(tf.strings.substr(behind, 0, 3), '^(?:="|>)([0-9]).*$', r"\1")
    is_digit = tf.strings.regex_full_match(value, "[0-9]")
    return tf.cond(is_digit, lambda: tf.strings.to_number(value, tf.int64), lambda: _number(0))


def _gif_is_partial(file: Bytes) -> tf.Tensor:
    """Whether the first frame of a GIF has a transparent colour, or does not fill the canvas."""
    flags = file.numbers[10]
    start = 13 + tf.where(_bit(flags, 7), 3 * 2 ** (flags % 8 + 1), _number(0))
    transparent, control = tf.constant(False), 0xF9

    def blocks(place: tf.Tensor) -> tf.Tensor:
        """Return the place after data in blocks, each preceded by its length; the last block is empty."""
        (end,) = tf.while_loop(
            lambda at: (at < file.size) & (file.numbers[at] > 0), lambda at: (at + 1 + file.numbers[at],), (place,)
        )
        return tf.minimum(end + 1, file.size)

    place, transparent = tf.while_loop(
        lambda at, _: (at < file.size) & (file.numbers[at] == ord("!")),
        lambda at, found: (
            blocks(at + 2),
            found | ((file.numbers[at + 1] == control) & _bit(file.numbers[at + 3], 0)),
        ),
        (start, transparent),
    )
    corner = [file.number(place + offset, 2, False) for offset in (1, 3)]
    size = [file.number(place + offset, 2, False) for offset in (5, 7)]
    canvas = [file.number(offset, 2, False) for offset in (6, 8)]
    fills = (corner[0] == 0) & (corner[1] == 0) & (size[0] == canvas[0]) & (size[1] == canvas[1])
    return transparent | ~fills
