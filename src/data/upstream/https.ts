/** Questions to upstreams over HTTPS (RFC 8484): one POST of a message each. */
import type { Seconds } from '../../boundary/messages.ts'
import { fail } from '../../base/error.ts'
import type { Http } from '../../http/client.ts'

const DNS_MESSAGE = 'application/dns-message'
/** The longest DNS message. */
const MAX_BYTES = 65_535

/** A response, and the seconds that it has spent in HTTP caches (the Age header). */
export type HttpsResponse = { readonly body: Buffer; readonly age: Seconds }

export class Https {
  /** Loaded when the first upstream speaks HTTPS: undici takes 8 MB of this thread. */
  #http: Promise<Http> | undefined

  /** Rejects with EHTTP unless the status is 200 and the type is a DNS message. A login portal answers with a page. */
  async ask(url: string, question: Buffer, signal: AbortSignal): Promise<HttpsResponse> {
    this.#http ??= import('../../http/client.ts').then(({ Http }) => new Http())
    const http = await this.#http
    const { status, headers, body } = await http.exchange(url, {
      method: 'POST',
      body: question,
      headers: { 'content-type': DNS_MESSAGE, accept: DNS_MESSAGE },
      maxBytes: MAX_BYTES,
      signal,
    })
    if (status !== 200) throw fail(`${url} answered ${status}`, 'EHTTP')
    const type = headers['content-type']?.split(';')[0]!.trim().toLowerCase()
    if (type !== DNS_MESSAGE) throw fail(`${url} answered with ${type ?? 'no type'}`, 'EHTTP')
    // Without a valid Age, the response comes from the resolver itself.
    const age = Number.parseInt(headers['age'] ?? '', 10)
    return { body, age: age > 0 ? age : 0 }
  }

  async close(): Promise<void> {
    await (await this.#http)?.close()
  }
}
