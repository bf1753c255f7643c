/** The options of an HTTP exchange, its certificates, and its result. */

export type TlsOptions = {
  /** PEM of trusted certificate authorities. Default: those of Node. */
  readonly ca?: string
  readonly cert?: string
  readonly key?: string
  readonly servername?: string
  /** True accepts any certificate. */
  readonly insecure?: boolean
}

export type HttpCall = {
  readonly method?: 'GET' | 'POST'
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array
  /** From the start to the last byte (in a stream: to the end of the head). Default 30 s. */
  readonly deadlineMs?: number
  /** Limit of the body. Default 64 MiB: the state of a master with 25,000 tasks. */
  readonly maxBytes?: number
  /** Limit of redirects; only for GET. Credentials are not sent to another host. Default none. */
  readonly redirects?: number
  readonly signal?: AbortSignal
}

export type HttpResponse = {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer
}
