/**
 * Domain names as octets in a message (RFC 1035 §3.1, §4.1.4; case per RFC 4343).
 *
 * The path of a query never turns a name into text: it skips, compares or expands octets, because a label may
 * hold any octet (RFC 2181 §11) and different names can look the same in print. Text is used for people, logs
 * and the keys of our own zones.
 */
import { u8 } from './octets.ts'

export const MAX_NAME = 255
export const MAX_LABEL = 63
/** Limit of pointers in one name: a name has at most 127 labels, and each can end in a pointer. */
const MAX_JUMPS = 127

/** Maps each octet to lower case if it is an ASCII letter. */
export const FOLD = new Uint8Array(256)
for (let i = 0; i < 256; i++) FOLD[i] = i >= 65 && i <= 90 ? i + 32 : i

/** The offset just past a name that may end in a pointer, or -1. Pointers are not followed. */
export const skipName = (b: Uint8Array, at: number, end: number): number => {
  const start = at
  while (at < end) {
    const length = u8(b, at)
    if (length === 0) return at + 1
    if (length >= 0xc0) return at + 2 <= end ? at + 2 : -1
    if (length > MAX_LABEL) return -1
    at += length + 1
    if (at - start >= MAX_NAME) return -1
  }
  return -1
}

/** The offset just past a name without pointers, or -1. A question must have such a name. */
export const skipPlainName = (b: Uint8Array, at: number, end: number): number => {
  const start = at
  while (at < end) {
    const length = u8(b, at)
    if (length === 0) return at + 1
    if (length > MAX_LABEL) return -1
    at += length + 1
    if (at - start >= MAX_NAME) return -1
  }
  return -1
}

/** Steps left for reading all names of a message. It bounds the cost of a hostile message. */
export type Budget = { steps: number }
/** Steps allowed per message: over ten times what the largest real answer needs. */
export const STEPS = 30_000

/**
 * Expands the name at `at` into `out` as octets without pointers. Returns the number of octets, or -1 if the
 * name is bad. A pointer must lead backwards, behind the header, to before the part that it ends; so loops
 * are impossible.
 */
export const expandName = (
  b: Uint8Array,
  at: number,
  end: number,
  out: Uint8Array,
  budget?: Budget,
): number => {
  let length = 0
  let floor = at
  let jumps = 0
  for (;;) {
    if (at >= end) return -1
    if (budget && --budget.steps < 0) return -1
    const n = u8(b, at)
    if (n === 0) {
      out[length++] = 0
      return length
    }
    if (n >= 0xc0) {
      if (at + 2 > end || ++jumps > MAX_JUMPS) return -1
      const to = ((n & 0x3f) << 8) | u8(b, at + 1)
      if (to < 12 || to >= floor) return -1
      at = floor = to
      continue
    }
    if (n > MAX_LABEL || length + n + 2 > MAX_NAME || at + n + 1 > end) return -1
    for (const stop = at + n + 1; at < stop;) out[length++] = u8(b, at++)
  }
}

/** Whether two plain names are the same name, ignoring ASCII case. */
export const sameName = (a: Uint8Array, aAt: number, b: Uint8Array, bAt: number): boolean => {
  for (;;) {
    const n = u8(a, aAt)
    if (n !== u8(b, bAt)) return false
    if (n === 0) return true
    aAt++
    bAt++
    for (let i = 0; i < n; i++) if (FOLD[u8(a, aAt++)] !== FOLD[u8(b, bAt++)]) return false
  }
}

/**
 * A plain name as text: labels joined by dots, no final dot, '.' for the root. Octets that are not printable
 * ASCII, and dots and backslashes within a label, are written as \DDD or \c (RFC 1035 §5.1), so that
 * different names never have the same text.
 */
export const nameText = (b: Uint8Array, at = 0): string => {
  let text = ''
  for (;;) {
    const n = u8(b, at++)
    if (n === 0) return text === '' ? '.' : text
    if (text !== '') text += '.'
    for (let i = 0; i < n; i++) {
      const c = u8(b, at++)
      if (c === 0x2e || c === 0x5c) text += '\\' + String.fromCharCode(c)
      else if (c > 0x20 && c < 0x7f) text += String.fromCharCode(c)
      else text += '\\' + String(c).padStart(3, '0')
    }
  }
}

const text = Buffer.alloc(MAX_NAME)
/** The lower-case octet if it needs no escape in text, otherwise 0. */
const PLAIN = new Uint8Array(256)
for (let c = 0x21; c < 0x7f; c++) PLAIN[c] = c === 0x2e || c === 0x5c ? 0 : FOLD[c]!

/**
 * nameText in lower case: the key of our own zones. Names without escapes, the normal case, take one native
 * call.
 */
export const foldedText = (b: Uint8Array, at = 0): string => {
  const start = at
  let length = 0
  for (let n = u8(b, at++); n !== 0; n = u8(b, at++)) {
    if (length > 0) text[length++] = 0x2e
    for (const end = at + n; at < end; at++) {
      const c = PLAIN[b[at]!]!
      if (c === 0) return nameText(b, start).toLowerCase()
      text[length++] = c
    }
  }
  return length === 0 ? '.' : text.toString('latin1', 0, length)
}

/** The octets of a name written as text, escapes included; undefined if the text is not a name. */
export const nameWire = (text: string): Buffer | undefined => {
  if (text === '.' || text === '') return Buffer.of(0)
  const out = Buffer.alloc(MAX_NAME + 1)
  let at = 1
  let start = 0
  const close = (): boolean => {
    const n = at - start - 1
    if (n < 1 || n > MAX_LABEL) return false
    out[start] = n
    start = at++
    return at <= MAX_NAME + 1
  }
  for (let i = 0; i < text.length; i++) {
    let c = text.charCodeAt(i)
    if (c === 0x2e) {
      if (!close()) return undefined
      continue
    }
    if (c === 0x5c) {
      const ddd = /^\d{3}/.exec(text.slice(i + 1, i + 4))?.[0]
      if (ddd !== undefined) {
        c = Number(ddd)
        i += 3
      } else c = text.charCodeAt(++i)
    }
    if (!(c >= 0 && c < 256) || at >= MAX_NAME) return undefined
    out[at++] = c
  }
  if (at - start > 1 && !close()) return undefined
  out[start] = 0
  return start + 1 <= MAX_NAME ? Buffer.from(out.subarray(0, start + 1)) : undefined
}
