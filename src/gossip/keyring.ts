/**
 * The ring's keys. The first key encrypts and all keys decrypt, so that a key can be replaced while the ring runs:
 * install the new key everywhere, use it everywhere, remove the old one everywhere. The file has Serf's format: a
 * JSON array of base64 keys, primary key first. Only its owner can read it, and it is always replaced as a whole.
 */
import {
  closeSync,
  fchmodSync,
  fchownSync,
  fstatSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { randomBytes as systemRandom } from 'node:crypto'
import { dirname } from 'node:path'
import { fail, messageOf } from '../base/error.ts'

/** Limit of keys. An undecryptable packet is tried with every key. */
export const KEYS_MOST = 16
/** Limit of the file's size in octets. */
const FILE_MOST = 16 * 1024

/** The result of a change: undefined, or why it was refused. */
export type Refusal = string | undefined

const isKey = (key: Uint8Array): boolean =>
  key.length === 16 || key.length === 24 || key.length === 32
const same = (a: Uint8Array, b: Uint8Array): boolean =>
  a.length === b.length && Buffer.compare(a, b) === 0

/** A key in base64, as in the file and on the command line. */
export const keyText = (key: Uint8Array): string =>
  Buffer.from(key.buffer, key.byteOffset, key.length).toString('base64')

/** The key in a base64 text; undefined if it does not have 16, 24 or 32 octets. */
export const keyOf = (text: string): Uint8Array | undefined => {
  if (text.length > 44) return undefined
  const key = Buffer.from(text, 'base64')
  return isKey(key) && keyText(key) === text ? key : undefined
}

/** A new key, base64: 32 octets for AES-256. */
export const generatedKey = (random: (n: number) => Uint8Array = systemRandom): string =>
  keyText(random(32))

export class Keyring {
  #keys: readonly Uint8Array[]
  #save: ((keys: readonly string[]) => void) | undefined
  #random: (n: number) => Uint8Array
  #nonce: Buffer
  #count = 0

  /**
   * @param keys primary key first; each has 16, 24 or 32 octets
   * @param save stores the keys; if it throws, the change is refused
   * @param random source of the nonce prefixes
   */
  constructor(
    keys: readonly Uint8Array[],
    save?: (keys: readonly string[]) => void,
    random: (n: number) => Uint8Array = systemRandom,
  ) {
    if (keys.length === 0 || keys.length > KEYS_MOST || !keys.every(isKey)) {
      throw fail(`a keyring holds 1 to ${KEYS_MOST} keys of 16, 24 or 32 octets`, 'EDATA')
    }
    this.#keys = keys
    this.#save = save
    this.#random = random
    this.#nonce = Buffer.alloc(12)
    this.#redraw()
  }

  /** All keys, primary key first. The array is replaced, never changed. */
  get keys(): readonly Uint8Array[] {
    return this.#keys
  }

  /** The key that encrypts. */
  get primary(): Uint8Array {
    return this.#keys[0]!
  }

  /** All keys as base64, the primary one first. */
  list(): string[] {
    return this.#keys.map(keyText)
  }

  #redraw(): void {
    this.#nonce.set(this.#random(8))
    this.#count = 0
  }

  /**
   * A nonce for one message, valid until the next call: 64 random bits per process and a 32-bit counter. With random
   * nonces alone, a ring of 10,000 members would pass GCM's limit of 2^32 messages per key within two days.
   */
  nonce(): Uint8Array {
    if (this.#count > 0xffff_ffff) this.#redraw()
    this.#nonce.writeUInt32BE(this.#count++, 8)
    return this.#nonce
  }

  #replace(keys: readonly Uint8Array[]): Refusal {
    try {
      this.#save?.(keys.map(keyText))
    } catch (er) {
      return messageOf(er)
    }
    this.#keys = keys
    // a new primary key starts a new count of messages
    this.#redraw()
    return undefined
  }

  /** Adds a key for decryption. Adding it again is not an error. */
  install(key: Uint8Array): Refusal {
    if (!isKey(key)) return 'key size must be 16, 24 or 32 bytes'
    if (this.#keys.some(had => same(had, key))) return undefined
    if (this.#keys.length >= KEYS_MOST) return `the keyring is full (${KEYS_MOST} keys)`
    return this.#replace([...this.#keys, Uint8Array.from(key)])
  }

  /** Makes an installed key the primary key. */
  use(key: Uint8Array): Refusal {
    const had = this.#keys.find(one => same(one, key))
    if (!had) return 'requested key is not in the keyring'
    return had === this.primary
      ? undefined
      : this.#replace([had, ...this.#keys.filter(one => one !== had)])
  }

  /** Replaces the keys by those of another keyring, and stores later changes where that one does. */
  adopt(other: Keyring): void {
    this.#keys = other.#keys
    this.#save = other.#save
    this.#redraw()
  }

  /** Removes a key. The primary key is refused. A missing key is not an error. */
  remove(key: Uint8Array): Refusal {
    if (same(key, this.primary)) return 'removing the primary key is not allowed'
    const rest = this.#keys.filter(one => !same(one, key))
    return rest.length === this.#keys.length ? undefined : this.#replace(rest)
  }
}

/**
 * Writes a keyring file with mode 0600. A new file is written beside the old one, synced and renamed, so that a
 * crash leaves either the old or the new one. `owner` is the account that will own the file; only root can set it.
 */
export const writeKeyringFile = (
  file: string,
  keys: readonly string[],
  owner?: { readonly uid: number; readonly gid: number },
): void => {
  const beside = `${file}.${process.pid}.new`
  try {
    const fd = openSync(beside, 'w', 0o600)
    try {
      fchmodSync(fd, 0o600)
      if (owner) fchownSync(fd, owner.uid, owner.gid)
      writeSync(fd, `${JSON.stringify(keys, null, 2)}\n`)
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
    renameSync(beside, file)
    const directory = openSync(dirname(file), 'r')
    try {
      fsyncSync(directory)
    } finally {
      closeSync(directory)
    }
  } catch (er) {
    rmSync(beside, { force: true })
    throw fail(`cannot write the keyring ${file}`, 'EDATA', { cause: er })
  }
}

const keysIn = (file: string, text: string): Uint8Array[] => {
  let data: unknown
  try {
    data = JSON.parse(text)
  } catch (er) {
    throw fail(`the keyring ${file} is no JSON`, 'EDATA', { cause: er })
  }
  const list: unknown[] = Array.isArray(data) ? data : []
  const keys = list.map(text => (typeof text === 'string' ? keyOf(text) : undefined))
  if (keys.length === 0 || keys.length > KEYS_MOST || keys.includes(undefined)) {
    throw fail(
      `the keyring ${file} must be a list of 1 to ${KEYS_MOST} base64 keys of 16, 24 or 32 octets`,
      'EDATA',
    )
  }
  return keys.filter(key => key !== undefined)
}

/**
 * Reads the keyring from a file; changes are written back to it. Throws EDATA if the file is missing, malformed, not
 * a regular file, or readable by others than its owner.
 */
export const loadKeyring = (file: string): Keyring => {
  let text: string
  try {
    const fd = openSync(file, 'r')
    try {
      const stat = fstatSync(fd)
      if (!stat.isFile() || stat.size > FILE_MOST) throw fail(`${file} is no keyring`, 'EDATA')
      if ((stat.mode & 0o077) !== 0) {
        const mode = (stat.mode & 0o777).toString(8).padStart(4, '0')
        throw fail(`the keyring ${file} is open to others (mode ${mode}); make it 0600`, 'EDATA')
      }
      text = readFileSync(fd, 'utf8')
    } finally {
      closeSync(fd)
    }
  } catch (er) {
    if (er instanceof Error && (er as { code?: string }).code === 'EDATA') throw er
    throw fail(`cannot read the keyring ${file}: ${messageOf(er)}`, 'EDATA', { cause: er })
  }
  return new Keyring(keysIn(file, text), keys => writeKeyringFile(file, keys))
}
