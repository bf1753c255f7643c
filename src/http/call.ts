/** What is asked in one HTTP exchange, with what certificates, and what comes back. */

export type TlsOptions = {
  /** PEM of the certificate authorities to trust; default: those Node ships. */
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
  /** From the start to the last byte (of a stream: to the head). Default 30 s. */
  readonly deadlineMs?: number
  /** Longest body. Default 64 MiB, a master state of 25,000 tasks. */
  readonly maxBytes?: number
  /** How many redirects to follow; GET only. Another host gets no credentials. Default none. */
  readonly redirects?: number
  readonly signal?: AbortSignal
}

export type HttpResponse = {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer
}
