// Text and its UTF-8 bytes.

export const encoded = (text) => new TextEncoder().encode(text);

// Leniently, and with a byte order mark kept where one stands.
export const decoded = (bytes) => new TextDecoder('utf-8', {ignoreBOM: true}).decode(bytes);

// The first `room` bytes, or up to three less, so that no character is cut in two.
export function cut(bytes, room) {
  if (bytes.length <= room) return bytes;
  let end = room;
  while (end > room - 4 && end > 0 && (bytes[end] & 0xc0) === 0x80) end -= 1;
  return bytes.subarray(0, end > room - 4 && end > 0 ? end : room);
}
