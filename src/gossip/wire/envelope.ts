/**
 * The encrypted envelope: version, nonce, AES-GCM ciphertext and tag.
 *
 *   0      version: 1, or 0 for the old form with PKCS#7 padding
 *   1..12  nonce
 *   13..   ciphertext
 *   -16..  tag
 *
 * We write version 1 and read both. What cannot be opened gives undefined;
 * the caller counts it and never answers.
 */
import { createCipheriv, createDecipheriv } from 'node:crypto'

/** Octets that version 1 of the envelope adds. */
export const ENVELOPE = 29
const NONCE_AT = 1
const BODY_AT = 13
const TAG = 16

/** The cipher for a key of 16, 24 or 32 octets. */
const cipherOf = (key: Uint8Array): 'aes-128-gcm' | 'aes-192-gcm' | 'aes-256-gcm' =>
  key.length === 16 ? 'aes-128-gcm' : key.length === 24 ? 'aes-192-gcm' : 'aes-256-gcm'

/** Encrypts parts as an envelope of version 1; `aad` is authenticated, too. */
export const sealed = (
  key: Uint8Array,
  nonce: Uint8Array,
  parts: readonly Uint8Array[],
  aad: Uint8Array | undefined,
): Buffer => {
  const cipher = createCipheriv(cipherOf(key), key, nonce)
  if (aad && aad.length > 0) cipher.setAAD(aad)
  let size = ENVELOPE
  for (const part of parts) size += part.length
  const out = Buffer.allocUnsafe(size)
  out[0] = 1
  out.set(nonce, NONCE_AT)
  let at = BODY_AT
  for (const part of parts) {
    const piece = cipher.update(part)
    out.set(piece, at)
    at += piece.length
  }
  cipher.final()
  out.set(cipher.getAuthTag(), at)
  return out
}

const openedWith = (
  key: Uint8Array,
  bytes: Uint8Array,
  aad: Uint8Array | undefined,
): Buffer | undefined => {
  const decipher = createDecipheriv(cipherOf(key), key, bytes.subarray(NONCE_AT, BODY_AT))
  if (aad && aad.length > 0) decipher.setAAD(aad)
  decipher.setAuthTag(bytes.subarray(bytes.length - TAG))
  const plain = decipher.update(bytes.subarray(BODY_AT, bytes.length - TAG))
  try {
    decipher.final()
    return plain
  } catch {
    // final() throws only if the tag does not match
    return undefined
  }
}

/** Decrypts with the first key that fits; undefined if none does. */
export const opened = (
  keys: readonly Uint8Array[],
  bytes: Uint8Array,
  aad: Uint8Array | undefined,
): Buffer | undefined => {
  const version = bytes[0]
  if (bytes.length < ENVELOPE || (version !== 0 && version !== 1)) return undefined
  for (const key of keys) {
    const plain = openedWith(key, bytes, aad)
    if (plain) return version === 1 ? plain : unpadded(plain)
  }
  return undefined
}

const unpadded = (plain: Buffer): Buffer | undefined => {
  const padding = plain[plain.length - 1] ?? 0
  return padding >= 1 && padding <= 16 && padding <= plain.length
    ? plain.subarray(0, plain.length - padding)
    : undefined
}
