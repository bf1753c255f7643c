/**
 * The admin server's routes: how a part declares them, and how a path is matched. Paths are compared
 * literally, segment by segment; paths with `..`, `//` or an encoded slash match nothing.
 */

/** The argument of a handler. */
export type AdminRequest = {
  /** Decoded segments at the positions of `:name` in the pattern. */
  readonly params: Readonly<Record<string, string>>
  readonly query: URLSearchParams
  /** The body, parsed as JSON; undefined if there was none. */
  readonly body: unknown
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  /** Aborted when the client leaves or the server closes; for long responses. */
  readonly gone: AbortSignal
}

/** A handler's result: one of `json`, `text`, `chunks`, or only a status. */
export type AdminResponse = {
  /** Default 200. */
  readonly status?: number
  readonly json?: unknown
  readonly text?: string
  /** Text in pieces; each is requested after the previous one was sent. */
  readonly chunks?: Iterable<string> | AsyncIterable<string>
  /** Names in lower case. The default content-type is JSON for `json` and plain text otherwise. */
  readonly headers?: Readonly<Record<string, string>>
}

/** One route. */
export type Route = {
  /** A GET route also answers HEAD. Other methods change something and need the Unix socket. */
  readonly method: 'GET' | 'POST' | 'DELETE'
  /** `/v1/hosts/:name`: literal segments, and names for variable ones. */
  readonly path: string
  /** Refuse this route over TCP. */
  readonly unixOnly?: boolean
  /** Milliseconds that the handler may take. Default: the server's limit. */
  readonly timeoutMs?: number
  /** If it throws, the client gets a 500 without details, and the error is logged. */
  readonly handle: (req: AdminRequest) => AdminResponse | Promise<AdminResponse>
}

/** The routes of a path by method, and its variable segments. */
export type Match = {
  readonly routes: ReadonlyMap<string, Route>
  readonly params: Record<string, string>
}

/** The decoded segment; undefined if it is not plain text or contains a separator. */
const decoded = (segment: string): string | undefined => {
  try {
    const text = decodeURIComponent(segment)
    // eslint-disable-next-line no-control-regex
    return text === '' || text === '.' || text === '..' || /[/\\\u0000-\u001f\u007f]/.test(text)
      ? undefined
      : text
  } catch {
    return undefined
  }
}

type Entry = { readonly segments: readonly string[]; readonly routes: Map<string, Route> }

/** Finds the routes of a path. Two routes with the same method and path are a bug, and throw. */
export class RouteTable {
  readonly #entries: Entry[] = []

  constructor(routes: readonly Route[]) {
    const byPath = new Map<string, Entry>()
    for (const route of routes) {
      const entry = byPath.get(route.path) ?? {
        segments: route.path.split('/').slice(1),
        routes: new Map(),
      }
      if (entry.routes.has(route.method))
        throw new Error(`route twice: ${route.method} ${route.path}`)
      entry.routes.set(route.method, route)
      byPath.set(route.path, entry)
    }
    // Literal paths come first, so that /v1/members/self does not match /v1/members/:name.
    const vague = ({ segments }: Entry): number => segments.filter(s => s.startsWith(':')).length
    this.#entries.push(...[...byPath.values()].sort((a, b) => vague(a) - vague(b)))
  }

  match(path: string): Match | undefined {
    if (!path.startsWith('/')) return undefined
    const asked = path.slice(1).split('/')
    const segments = path === '/' ? [''] : asked.map(decoded)
    for (const { segments: pattern, routes } of this.#entries) {
      if (pattern.length !== segments.length) continue
      const params: Record<string, string> = {}
      const fits = pattern.every((part, i) => {
        const segment = segments[i]
        if (segment === undefined) return false
        if (!part.startsWith(':')) return part === segment
        params[part.slice(1)] = segment
        return true
      })
      if (fits) return { routes, params }
    }
    return undefined
  }
}
