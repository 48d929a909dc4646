"""Reads an event file of TensorBoard, with both checksums of every record: prints TAG STEP VALUE lines.

Written from the formats alone (TFRecord: length, masked CRC-32C of the length, data, masked CRC-32C of the data; the wire
format of protobuf), so that it shares nothing with what is tested.
"""
import struct
import sys

TABLE = []
for i in range(256):
    c = i
    for _ in range(8):
        c = (c >> 1) ^ 0x82F63B78 if c & 1 else c >> 1
    TABLE.append(c)


def masked_crc(data):
    c = 0xFFFFFFFF
    for byte in data:
        c = TABLE[(c ^ byte) & 0xFF] ^ (c >> 8)
    c ^= 0xFFFFFFFF
    return (((c >> 15) | (c << 17)) + 0xA282EAD8) & 0xFFFFFFFF


assert masked_crc(b"123456789") == ((((0xE3069283 >> 15) | (0xE3069283 << 17)) + 0xA282EAD8) & 0xFFFFFFFF)


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def fields(data):
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = varint(data, at)
        elif wire == 1:
            value, at = struct.unpack_from("<d", data, at)[0], at + 8
        elif wire == 2:
            size, at = varint(data, at)
            value, at = data[at : at + size], at + size
            assert len(value) == size
        elif wire == 5:
            value, at = struct.unpack_from("<f", data, at)[0], at + 4
        else:
            raise ValueError(f"wire type {wire}")
        yield number, value


def events(path):
    data = open(path, "rb").read()
    at = 0
    while at < len(data):
        size, crc = struct.unpack_from("<QI", data, at)
        assert crc == masked_crc(data[at : at + 8]), f"checksum of the length at byte {at}"
        body = data[at + 12 : at + 12 + size]
        assert len(body) == size, f"the record at byte {at} is cut"
        assert struct.unpack_from("<I", data, at + 12 + size)[0] == masked_crc(body), f"checksum of the data at byte {at}"
        at += size + 16
        yield dict(fields(body))


if __name__ == "__main__":
    for i, event in enumerate(events(sys.argv[1])):
        assert event[1] > 1e9, "wall time"
        if i == 0:
            assert event[3] == b"brain.Event:2", "the first record is the version"
            continue
        for number, value in fields(event[5]):
            assert number == 1
            value = dict(fields(value))
            print(value[1].decode(), event.get(2, 0), repr(value[2]))
