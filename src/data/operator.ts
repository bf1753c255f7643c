/** Answers operators' requests to the data thread: one traced query, and the status. */
import type { DataStatus, Down, Up } from '../boundary/messages.ts'
import { typeName } from '../wire/codes.ts'
import type { ResolverContext, Resolver } from './forward/resolver.ts'
import type { PacketIO } from './io/packet-io.ts'
import type { Front } from './serve/front.ts'
import type { Listeners } from './serve/listeners.ts'

const TOP_NAMES = 20

/** Answers our own query like a client's; with `trace`, also returns the steps and their times. */
export const ask = (
  front: Front,
  { id, wire, trace }: Extract<Down, { type: 'ask' }>,
  post: (message: Up) => void,
): void => {
  const startedAt = performance.now()
  const steps: { atMs: number; step: string; detail: string }[] = []
  const watch = (step: string, detail: string): void =>
    void steps.push({ atMs: performance.now() - startedAt, step, detail })
  const respond = (response: Uint8Array): void =>
    post({ type: 'answer', id, wire: Uint8Array.from(response), trace: steps })
  front.single(Buffer.from(wire), undefined, 0, respond, trace ? watch : undefined)
}

/** The parts of a data plane that status and gauges are read from. */
export type DataParts = {
  readonly io: PacketIO
  readonly front: Front
  readonly listeners: Listeners
  readonly resolver: Resolver
  readonly resolving: ResolverContext
}

/** @param maxBytes the limit of the cache, which a reload may have changed */
export const statusOf = (
  { front, io, listeners, resolver, resolving: { cache, zones } }: DataParts,
  maxBytes: number,
): DataStatus => {
  const { router, inFlight } = resolver
  const now = io.now()
  return {
    io: io.body,
    snapshot: router.snapshot.number,
    listening: listeners.status,
    cache: { entries: cache.entries, bytes: cache.bytes, maxBytes },
    inFlight,
    tcpConnections: listeners.tcpConnections,
    upstreams: router.upstreams().map(u => u.status(now, Date.now())),
    zones: [...zones.all()].map(({ apex, names, number, loaded }) => ({
      apex,
      names,
      number,
      loaded,
    })),
    top: front.top(TOP_NAMES).map(name => ({ ...name, type: typeName(name.type) })),
  }
}
