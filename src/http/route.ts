/**
 * The admin server's table of routes: what a part hands in to be reachable
 * over HTTP, and how a path is matched. Paths are taken literally, segment by
 * segment; anything that tries to be clever (`..`, `//`, an encoded slash)
 * matches nothing.
 */

/** What a handler is given. */
export type AdminRequest = {
  /** Decoded segments that stood where the pattern has `:name`. */
  readonly params: Readonly<Record<string, string>>
  readonly query: URLSearchParams
  /** The JSON of the body, undefined when there was none. */
  readonly body: unknown
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  /** Aborted when the client leaves or the server closes; for responses that go on for long. */
  readonly gone: AbortSignal
}

/** What a handler answers with: one of `json`, `text`, `chunks`, or nothing but a status. */
export type AdminResponse = {
  /** Default 200. */
  readonly status?: number
  readonly json?: unknown
  readonly text?: string
  /** Text too long to hold at once; the next piece is asked for when the last has left. */
  readonly chunks?: Iterable<string> | AsyncIterable<string>
  /** Names in lower case. The default content-type is JSON for `json` and plain text otherwise. */
  readonly headers?: Readonly<Record<string, string>>
}

/** One thing that can be asked for. */
export type Route = {
  /** HEAD comes free with GET. Anything but GET is a change and needs the Unix socket. */
  readonly method: 'GET' | 'POST' | 'DELETE'
  /** `/v1/hosts/:name`: literal segments, and names for those that vary. */
  readonly path: string
  /** Not to be read over TCP either. */
  readonly unixOnly?: boolean
  /** How long the handler may take, milliseconds; the server's own limit if it says nothing. */
  readonly timeoutMs?: number
  /** A throw becomes 500 and a log line; the client is not told what it said. */
  readonly handle: (req: AdminRequest) => AdminResponse | Promise<AdminResponse>
}

/** The routes of a path by method, and what its variable segments were. */
export type Match = {
  readonly routes: ReadonlyMap<string, Route>
  readonly params: Record<string, string>
}

/** A segment as the client meant it, undefined if it is not plain text or hides a separator. */
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

/** Finds what a path leads to. Two routes of one method and path are a mistake of ours and throw. */
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
    // Literal paths first, so that /v1/members/self is not taken for a name.
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
