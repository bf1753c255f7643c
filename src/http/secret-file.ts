/**
 * A file with a certificate, a key or a password, read on demand and again when it has changed. If new content is
 * unusable, the last good content stays in use. Errors and log lines never contain any of it.
 */
import { closeSync, fstatSync, openSync, readFileSync, statSync, type Stats } from 'node:fs'
import { codeOf, fail } from '../base/error.ts'
import type { Log } from '../base/log.ts'

/** Limit of a file; a chain of certificates has about ten kilobytes. */
const MAX_BYTES = 1024 * 1024

export type SecretFileOptions<T> = {
  readonly path: string
  /** The configuration key that names the file, for messages. */
  readonly key: string
  /** Parses the text; may throw, with a message that contains nothing of the text. */
  readonly parse: (text: string) => T
  /** Whether only this process's user should be able to read it. */
  readonly secret: boolean
  readonly log: Log
}

/** Identifies a version of the content without reading it. */
type Stamp = { readonly text: string; readonly mode: number; readonly gid: number }

export class SecretFile<T> {
  readonly #options: SecretFileOptions<T>
  #stamp = ''
  #value: { readonly of: T } | undefined
  #trouble = ''

  constructor(options: SecretFileOptions<T>) {
    this.#options = options
  }

  /**
   * The current value; the same object while the file does not change. Throws EDATA before the first good content.
   */
  get(): T {
    const { path, key, log } = this.#options
    try {
      const { text } = stampOf(statSync(path))
      if (!this.#value || text !== this.#stamp) this.#load()
      this.#trouble = ''
    } catch (er) {
      const message = `${key}: ${path} ${reasonOf(er)}`
      if (!this.#value) throw fail(message, 'EDATA')
      if (message !== this.#trouble)
        log.warn('a changed file cannot be used, what it held before stays', { err: message })
      this.#trouble = message
    }
    return this.#value!.of
  }

  #load(): void {
    const { path, parse, secret, log, key } = this.#options
    const fd = openSync(path, 'r')
    try {
      const stat = fstatSync(fd)
      if (!stat.isFile()) throw fail('is no plain file', 'EDATA')
      if (stat.size > MAX_BYTES) throw fail(`is longer than ${MAX_BYTES} bytes`, 'EDATA')
      const stamp = stampOf(stat)
      const value = parse(readFileSync(fd, 'utf8'))
      if (secret && openToOthers(stamp))
        log.warn('a file with a secret can be read by other users; make its mode 0600', {
          key,
          file: path,
          mode: (stamp.mode & 0o777).toString(8).padStart(4, '0'),
        })
      if (this.#value) log.info('a changed file is in use', { key, file: path })
      this.#value = { of: value }
      this.#stamp = stamp.text
    } finally {
      closeSync(fd)
    }
  }
}

const stampOf = (stat: Stats): Stamp => ({
  text: `${stat.dev} ${stat.ino} ${stat.size} ${stat.mtimeMs} ${stat.ctimeMs}`,
  mode: stat.mode,
  gid: stat.gid,
})

/**
 * Whether users other than this process's may read it. Root's group and our own group may, because systemd passes
 * credentials to a unit with such permissions.
 */
const openToOthers = ({ mode, gid }: Stamp): boolean =>
  (mode & 0o007) !== 0 || ((mode & 0o070) !== 0 && gid !== 0 && gid !== process.getgid?.())

/** Why a file is unusable. Only our own errors may mention the content. */
const reasonOf = (er: unknown): string => {
  const code = codeOf(er)
  if (code === 'EDATA') return (er as Error).message
  if (code === 'ENOENT') return 'does not exist'
  if (code === 'EACCES' || code === 'EPERM') return 'may not be read by this process'
  return `cannot be used${code === '' ? '' : ` (${code})`}`
}
