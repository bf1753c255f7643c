/**
 * What protects the admin server on a TCP address: a certificate, and a token that every request must carry. Both are
 * files that are read again when they change. Nothing of them is ever logged or shown.
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import { createSecureContext } from 'node:tls'
import { fail } from '../base/error.ts'
import type { Log } from '../base/log.ts'
import { SecretFile } from '../http/secret-file.ts'

/** Paths of the files, '' for none. */
export type GuardFiles = {
  readonly tls: { readonly cert: string; readonly key: string }
  readonly token: string
}

/** A shorter token could be guessed. */
const SHORTEST_TOKEN = 16

const digest = (text: string): Buffer => createHash('sha256').update(text).digest()

const tokenDigest = (text: string): Buffer => {
  const token = text.trim()
  if (token.length < SHORTEST_TOKEN || /[^\x21-\x7e]/.test(token))
    throw fail(`must hold one token of at least ${SHORTEST_TOKEN} characters`, 'EDATA')
  return digest(token)
}

const pem =
  (what: string, part: 'cert' | 'key') =>
  (text: string): string => {
    try {
      createSecureContext({ [part]: text })
      return text
    } catch {
      throw fail(`is no ${what} in PEM`, 'EDATA')
    }
  }

export type Pair = { readonly cert: string; readonly key: string }

export class AdminGuard {
  readonly #cert: SecretFile<string> | undefined
  readonly #key: SecretFile<string> | undefined
  readonly #token: SecretFile<Buffer> | undefined
  #pair: Pair | undefined

  /** Throws EDATA if a file cannot be used. */
  constructor({ tls, token }: GuardFiles, log: Log) {
    if (tls.cert !== '') {
      const cert = pem('certificate', 'cert')
      const key = pem('private key', 'key')
      this.#cert = new SecretFile({
        path: tls.cert,
        key: 'admin.tls.cert',
        parse: cert,
        secret: false,
        log,
      })
      this.#key = new SecretFile({
        path: tls.key,
        key: 'admin.tls.key',
        parse: key,
        secret: true,
        log,
      })
      this.#pair = this.#readPair()
    }
    if (token !== '') {
      this.#token = new SecretFile({
        path: token,
        key: 'admin.token',
        parse: tokenDigest,
        secret: true,
        log,
      })
      this.#token.get()
    }
  }

  /** The certificate and key in use; undefined without TLS. A new certificate waits until its key is there, too. */
  get pair(): Pair | undefined {
    try {
      return (this.#pair = this.#readPair())
    } catch {
      return this.#pair
    }
  }

  #readPair(): Pair | undefined {
    if (!this.#cert || !this.#key) return undefined
    const [cert, key] = [this.#cert.get(), this.#key.get()]
    if (cert === this.#pair?.cert && key === this.#pair.key) return this.#pair
    try {
      createSecureContext({ cert, key })
    } catch {
      throw fail('admin.tls.key: is not the key of admin.tls.cert', 'EDATA')
    }
    return { cert, key }
  }

  /** Whether a request with this Authorization header may be served. */
  admits(authorization: string | undefined): boolean {
    if (!this.#token) return true
    const [, token = ''] = /^Bearer +(\S+) *$/i.exec(authorization ?? '') ?? []
    return timingSafeEqual(digest(token), this.#token.get())
  }
}
