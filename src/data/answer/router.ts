/**
 * Finds the route of a name. Aliases, `mesos` and the zones that this node answers come first and cannot be overridden;
 * then the configured forward zones; then the names of RFC 6761 and RFC 6303, which must not leak; then the external
 * upstreams. In each group, the longest suffix wins.
 */
import type { Milliseconds, RouteSpec, Snapshot, UpstreamSpec } from '../../boundary/messages.ts'
import type { RaceOptions } from '../forward/race-context.ts'
import { Upstream } from '../upstream/upstream.ts'

/** A route with the state of its upstreams. */
export type Route = {
  readonly spec: RouteSpec
  readonly upstreams: readonly Upstream[]
  /** The options of a race between all upstreams, set by the first one. */
  raceOptions?: RaceOptions
  /** When the last question was sent that no upstream answered in time. */
  silentSince?: Milliseconds
}

/** Used before the first Snapshot, when nothing listens yet. */
export const NO_ROUTES: Snapshot = {
  number: 0,
  own: [],
  forward: [],
  special: [],
  rest: { zone: '', label: 0, kind: 'special' },
  labels: ['other'],
  allow: [],
}

export class Router {
  readonly snapshot: Snapshot
  readonly #own: ReadonlyMap<string, Route>
  readonly #forward: ReadonlyMap<string, Route>
  readonly #special: ReadonlyMap<string, Route>
  readonly #rest: Route

  /**
   * Upstreams keep their health across snapshots, and a route that stays the
   * same stays the same object: `previous` hands both on.
   */
  constructor(snapshot: Snapshot, previous?: Router) {
    this.snapshot = snapshot
    const upstreams = new Map((previous?.upstreams() ?? []).map(u => [JSON.stringify(u.spec), u]))
    const upstreamOf = (spec: UpstreamSpec): Upstream => {
      const key = JSON.stringify(spec)
      const upstream = upstreams.get(key) ?? new Upstream(spec)
      upstreams.set(key, upstream)
      return upstream
    }
    const routeOf = (spec: RouteSpec, before: Route | undefined): Route =>
      before && JSON.stringify(before.spec) === JSON.stringify(spec)
        ? before
        : { spec, upstreams: spec.kind === 'forward' ? spec.upstreams.map(upstreamOf) : [] }
    const table = (
      specs: readonly RouteSpec[],
      before: ReadonlyMap<string, Route> | undefined,
    ): ReadonlyMap<string, Route> =>
      new Map(specs.map(spec => [spec.zone, routeOf(spec, before?.get(spec.zone))]))
    this.#own = table(snapshot.own, previous && previous.#own)
    this.#forward = table(snapshot.forward, previous && previous.#forward)
    this.#special = table(snapshot.special, previous && previous.#special)
    this.#rest = routeOf(snapshot.rest, previous && previous.#rest)
  }

  /** The route of a folded name (text, no final dot). */
  match(name: string): Route {
    let forward: Route | undefined
    let special: Route | undefined
    for (let suffix = name; ;) {
      const own = this.#own.get(suffix)
      if (own) return own
      forward ??= this.#forward.get(suffix)
      special ??= this.#special.get(suffix)
      const dot = nextLabel(suffix)
      if (dot < 0) return forward ?? special ?? this.#rest
      suffix = suffix.slice(dot)
    }
  }

  /** Every upstream of every route, once. */
  upstreams(): Upstream[] {
    const all = new Set<Upstream>()
    for (const table of [this.#own, this.#forward])
      for (const route of table.values()) for (const u of route.upstreams) all.add(u)
    for (const u of this.#rest.upstreams) all.add(u)
    return [...all]
  }

  /** Routes that forward. */
  forwards(): Route[] {
    return [...this.#own.values(), ...this.#forward.values(), this.#rest].filter(
      r => r.spec.kind === 'forward',
    )
  }
}

/** Where the second label begins; -1 when there is none. A dot behind a backslash is part of its label. */
const nextLabel = (name: string): number => {
  for (let at = name.indexOf('.'); at >= 0; at = name.indexOf('.', at + 1)) {
    let slashes = 0
    while (name.charCodeAt(at - 1 - slashes) === 0x5c) slashes++
    if (slashes % 2 === 0) return at + 1 < name.length ? at + 1 : -1
  }
  return -1
}
