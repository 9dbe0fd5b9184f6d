"""Mutations of files: of plain bytes, and by the structure of JSON, safetensors, PNG and others."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable
from random import Random
from typing import Any

Mutation = Callable[[Random, bytes], bytes]

VALUES: tuple[Any, ...] = (
    None, True, False, -1, 0, 1, 2, 3, 255, 2**16, 2**31 - 1, 2**31, 2**63, 2**64, 10**12, 10**400,
    -(10**12), 0.0, -0.5, 1e308, 1e-308, float("nan"), float("inf"), "", "x", "none", "\n\x1b[31m",
    "../../etc/passwd", "/dev/zero", "a\0b", "\ud800", "é" * 300, "x" * 70_000, [], {}, [[]], [0],
    ["x"], [None], {"": None}, {"x": 1}, [1] * 2000, [0, 2**63], [2**40, 2**40], [-1, 4],
    "Linear", "F4", "I8", "F8_E4M3", "CogVideoXTransformer3DModel", ["diffusers", "x"],
)  # fmt: skip
"""What a damaged or hostile file may have in place of a value."""

NUMBERS = (0, 1, 4, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def plain(random: Random, data: bytes) -> bytes:
    """Bits, bytes and numbers changed, parts removed, repeated or moved, or the end cut off."""
    content = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 4, 16))):
        size = max(len(content), 1)
        at, length = random.randrange(size), random.randrange(1, min(size, 64) + 1)
        kind = random.randrange(8)
        if kind == 0 and content:
            content[at] ^= 1 << random.randrange(8)
        elif kind == 1:
            content[at : at + 1] = random.randbytes(1)
        elif kind == 2:
            width = random.choice((1, 2, 4, 8))
            order = random.choice(("big", "little"))
            number = random.choice(NUMBERS) % 256**width
            content[at : at + width] = number.to_bytes(width, order)  # type: ignore[arg-type]
        elif kind == 3:
            del content[at : at + length]
        elif kind == 4:
            content[at:at] = content[at : at + length] * random.choice((1, 2, 50))
        elif kind == 5:
            content[at:at] = random.randbytes(length)
        elif kind == 6:
            other = random.randrange(size)
            content[at : at + length] = content[other : other + length]
        elif random.random() < 0.3:
            del content[at:]
    return bytes(content)


def _tree(random: Random, value: Any, depth: int = 0) -> Any:
    """`value` with one part of it changed."""
    inner = isinstance(value, dict | list) and value and (depth == 0 or random.random() < 0.75)
    if not inner:
        return _other(random, value)
    key = random.choice(list(value) if isinstance(value, dict) else range(len(value)))
    changed = value.copy()
    kind = random.randrange(10)
    if kind == 0:
        del changed[key]
    elif kind == 1:
        other = random.choice(list(value) if isinstance(value, dict) else range(len(value)))
        changed[key], changed[other] = value[other], value[key]
    elif kind == 2 and isinstance(changed, dict):
        changed[random.choice(("x", "", f"{key}_", f"model.{key}", "a" * 5000))] = changed.pop(key)
    elif kind == 2:
        changed[key:key] = [value[key]] * random.choice((1, 100))
    else:
        changed[key] = _tree(random, value[key], depth + 1)
    return changed


def _other(random: Random, value: Any) -> Any:
    """Another value for `value`: near it, or any of `VALUES`."""
    if type(value) in (int, float) and abs(value) < 1e300 and random.random() < 0.6:
        return random.choice((value + 1, value - 1, -value, value * 2, value * 1000, value * 10**9,
                              float(value), str(value), value // 2))  # fmt: skip
    if isinstance(value, str) and value and random.random() < 0.4:
        return random.choice((value[:-1], value + "x", value.upper(), value * 2, value[::-1]))
    if random.random() < 0.03:
        nested: Any = 1
        for _ in range(900):
            nested = [nested]
        return nested
    return random.choice(VALUES)


def by_json(random: Random, data: bytes) -> bytes:
    """One to three values of a JSON file changed; one in five, plain bytes."""
    if random.random() < 0.2:
        return _encoded(random, plain(random, data))
    tree = json.loads(data)
    for _ in range(random.choice((1, 1, 2, 3))):
        tree = _tree(random, tree)
    text = json.dumps(tree, ensure_ascii=random.random() < 0.5)
    if random.random() < 0.03:
        text = "[" * 100_000 + text
    return text.encode("utf-8", "surrogatepass")


def _encoded(random: Random, data: bytes) -> bytes:
    kind = random.randrange(12)
    if kind == 0:
        return b"\xef\xbb\xbf" + data
    if kind == 1:
        return data.decode("latin-1").encode("utf-16")
    return b"" if kind == 2 else data


def by_lines(random: Random, data: bytes) -> bytes:
    """Lines of JSON, or of words, changed, removed and repeated; one in five, plain bytes."""
    if random.random() < 0.2:
        return plain(random, data)
    lines = data.split(b"\n")
    for _ in range(random.choice((1, 1, 2, 5))):
        at = random.randrange(len(lines))
        if random.random() < 0.7:
            lines[at] = _line(random, lines[at])
        elif random.random() < 0.5:
            lines[at:at] = [lines[at]] * random.choice((1, 3, 600))
        elif len(lines) > 1:
            del lines[at]
    return b"\n".join(lines)


def _line(random: Random, line: bytes) -> bytes:
    if line.startswith(b"{"):
        return by_json(random, line) if _is_json(line) else plain(random, line)
    words = line.split(b" ")
    at = random.randrange(len(words))
    shown = str(random.choice(VALUES)).encode("utf-8", "surrogatepass")
    words[at] = random.choice((shown, b"", words[at] * 2, words[at][:-1], b"/../..", b"\\040"))
    return b" ".join(words)


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return False
    return True


def by_header(random: Random, data: bytes) -> bytes:
    """A safetensors file whose header is changed as JSON, mostly with the right length."""
    kind = random.random()
    if kind < 0.15:
        return plain(random, data)
    size = int.from_bytes(data[:8], "little")
    header, body = data[8 : 8 + size], data[8 + size :]
    if kind < 0.3:  # another type or shape of the same number of bytes
        tree = json.loads(header)
        name = random.choice([key for key in tree if key != "__metadata__"])
        shape = tree[name]["shape"]
        random.shuffle(shape)
        tree[name] |= random.choice(({"shape": [*shape, 1]}, {"dtype": "I16"}, {"dtype": "BF16"}))
        header = json.dumps(tree).encode()
    elif kind < 0.9:
        header = by_json(random, header)
    else:
        body = plain(random, body)
    length = len(header) if random.random() < 0.9 else random.choice((*NUMBERS, 2**63))
    return length.to_bytes(8, "little") + header + body


def by_fields(random: Random, data: bytes) -> bytes:
    """A protobuf message whose fields are changed, removed and repeated, with the right lengths."""
    if random.random() < 0.2:
        return plain(random, data)
    fields = fields_of(data)
    for _ in range(random.choice((1, 1, 2, 5))):
        at = random.randrange(len(fields))
        if (change := random.randrange(4)) == 0:
            del fields[at]
        elif change == 1:
            fields[at:at] = [fields[at]] * random.choice((1, 50))
        else:
            fields[at] = (fields[at][0], plain(random, fields[at][1]))
    return b"".join(tag + _varint(len(content)) + content for tag, content in fields)


def fields_of(data: bytes) -> list[tuple[bytes, bytes]]:
    """Tags and contents of a message in which all fields are texts or messages.

    Raises:
        IndexError: for one that ends within a field.
    """
    at, fields = 0, []
    while at < len(data):
        length, start, shift = 0, at + 1, 0
        while True:
            byte = data[start]
            length |= (byte & 127) << shift
            start, shift = start + 1, shift + 7
            if byte < 128:
                break
        at, tag = start + length, data[at : at + 1]
        data[at - 1]  # the content is whole
        fields.append((tag, data[start:at]))
    return fields


def _varint(number: int) -> bytes:
    low, high = number & 127, number >> 7
    return bytes([low | 128]) + _varint(high) if high else bytes([low])


def by_chunks(random: Random, data: bytes) -> bytes:
    """A PNG whose chunks are changed, removed and repeated, with the right checksums."""
    at, chunks = 8, []
    while at + 12 <= len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    for _ in range(random.choice((1, 1, 2, 3))):
        at = random.randrange(len(chunks))
        kind, content = chunks[at]
        change = random.randrange(6)
        if change == 0 and len(chunks) > 1:
            del chunks[at]
        elif change == 1:
            chunks.insert(random.randrange(len(chunks) + 1), (kind, content))
        elif change == 2 and kind == b"IDAT":
            pixels = plain(random, zlib.decompress(content)) if at == len(chunks) - 2 else content
            chunks[at] = (kind, zlib.compress(pixels))
        elif change == 3:
            names = (b"tRNS", b"iCCP", b"eXIf", b"PLTE", b"gAMA", b"acTL", b"fcTL", b"zTXt")
            extra = (random.choice(names), random.randbytes(random.randrange(64)))
            chunks.insert(random.randrange(1, len(chunks) + 1), extra)
        else:
            chunks[at] = (kind, plain(random, content))
    parts = (struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c))
             for k, c in chunks)  # fmt: skip
    return data[:8] + b"".join(parts)


def by_picture(random: Random, data: bytes) -> bytes:
    """A PNG by its chunks; any other picture by its bytes, mostly of its first hundred."""
    if data.startswith(b"\x89PNG") and random.random() < 0.8:
        try:
            return by_chunks(random, data)
        except (zlib.error, IndexError, ValueError):
            return plain(random, data)
    if random.random() < 0.5:
        start = random.choice((4, 12, 30))
        return data[:start] + plain(random, data[start:120]) + data[120:]
    return data[:12] + plain(random, data[12:])


def by_boxes(random: Random, data: bytes) -> bytes:
    """An mp4, mostly in what describes it: everything but the frames."""
    if random.random() < 0.3:
        return plain(random, data)
    at = data.find(b"moov")
    return data[: at + 4] + plain(random, data[at + 4 : at + 900]) + data[at + 900 :]
