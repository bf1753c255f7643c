/**
 * Operators who watch the queries: each has a filter and a ring in shared memory (boundary/query-ring.ts) that gets
 * copies of the queries that pass. While nobody watches, a query costs one check of `any`.
 */
import { OUTCOMES, QueryRingWriter, type Outcome } from '../../boundary/query-ring.ts'
import type { WatchSpec } from '../../boundary/messages.ts'
import { EDE, RCODE } from '../../wire/codes.ts'
import { AA, HEADER } from '../../wire/header.ts'
import { FOLD } from '../../wire/name.ts'
import type { Head } from './admit.ts'
import { Allow } from './allow.ts'

/** An answered query. `query` and `answer` are whole messages; `client` is only read for queries that pass. */
export type Answered = {
  readonly query: Uint8Array
  readonly head: Head
  readonly answer: Uint8Array
  readonly rcode: number
  /** The extended error of the answer, -1 for none. */
  readonly ede: number
  /** found: in the cache, fresh. asked: it had to wait. none: it was not looked up. */
  readonly lookup: 'found' | 'asked' | 'none'
  readonly proto: 0 | 1
  readonly server: number
  readonly tookMs: number
  readonly client: { readonly address: string; readonly port: number }
}

export class Watchers {
  /** Whether anybody watches. */
  any = false
  readonly #all = new Map<number, Watcher>()

  add(spec: WatchSpec): void {
    this.#all.set(spec.id, new Watcher(spec))
    this.any = true
  }

  remove(id: number): void {
    this.#all.delete(id)
    this.any = this.#all.size > 0
  }

  see(answered: Answered): void {
    const outcome = outcomeOf(answered)
    for (const watcher of this.#all.values()) watcher.see(answered, outcome)
  }
}

class Watcher {
  readonly #spec: WatchSpec
  readonly #ring: QueryRingWriter
  readonly #clients: Allow | undefined
  /** How many queries that pass the filter are left out before the next one is kept. */
  #skip = 0

  constructor(spec: WatchSpec) {
    this.#spec = spec
    this.#ring = new QueryRingWriter(spec.memory)
    this.#clients = spec.clients.length > 0 ? new Allow(spec.clients) : undefined
    this.#skip = this.#gap()
  }

  see(answered: Answered, outcome: Outcome): void {
    if (!this.#wants(answered, outcome)) return
    if (this.#skip-- > 0) return
    this.#skip = this.#gap()
    const { query, head, answer, rcode, ede, proto, server, tookMs, client } = answered
    const { whole } = this.#spec
    this.#ring.put({
      outcome,
      rcode,
      ede,
      transport: proto === 1 ? 'tcp' : 'udp',
      at: performance.timeOrigin + performance.now(),
      tookMs,
      client: client.address,
      port: client.port,
      server,
      query: asBuffer(query, whole ? query.length : head.questionEnd),
      octets: answer.length,
      answer: asBuffer(answer, whole ? answer.length : 0),
    })
  }

  #wants({ query, head, rcode, client }: Answered, outcome: Outcome): boolean {
    const { outcomes, rcodes, below, except } = this.#spec
    const wanted = (outcomes & (1 << OUTCOMES.indexOf(outcome))) | (rcodes & (1 << rcode))
    if (wanted === 0) return false
    // Without a readable question there is no name.
    if (head.questionEnd === 0) return below.length <= 1 && this.#wantsClient(client.address)
    if (!isBelow(query, below) || (except.length > 1 && isBelow(query, except))) return false
    return this.#wantsClient(client.address)
  }

  #wantsClient(address: string): boolean {
    return this.#clients === undefined || this.#clients.allows(address)
  }

  /** A random number with the mean `every` - 1, so that a regular pattern of queries is sampled fairly. */
  #gap(): number {
    return Math.floor(Math.random() * (2 * this.#spec.every - 1))
  }
}

const outcomeOf = ({ answer, rcode, ede, lookup }: Answered): Outcome => {
  if (rcode === RCODE.SERVFAIL) return 'failure'
  if (lookup === 'none') return rcode === RCODE.NOERROR ? 'local' : 'refused'
  if (ede === EDE.STALE || ede === EDE.STALE_NXDOMAIN) return 'stale'
  // Only the zones that this node holds are answered with authority.
  if ((answer[2]! & AA) !== 0) return 'local'
  return lookup === 'found' ? 'hit' : 'miss'
}

/** Whether the name of a question is at or below `suffix`, a lower-case name in wire format. */
const isBelow = (query: Uint8Array, suffix: Uint8Array): boolean => {
  let end = HEADER
  while (query[end] !== 0) end += query[end]! + 1
  const from = end + 1 - suffix.length
  let at = HEADER
  while (at < from) at += query[at]! + 1
  if (at !== from) return false
  for (let i = 0; i < suffix.length; i++) if (FOLD[query[at + i]!] !== suffix[i]) return false
  return true
}

const asBuffer = (bytes: Uint8Array, length: number): Buffer =>
  Buffer.from(bytes.buffer, bytes.byteOffset, length)
