/** The types around a race: what it needs, its outcome, and the interface of its owner. */
import type { Lingering } from './lingering.ts'
import type { Milliseconds } from '../../boundary/messages.ts'
import type { Records } from '../../wire/scan.ts'
import type { Peer } from '../io/packet-io.ts'
import type { Timers } from '../timers.ts'
import type { Exchanges } from '../upstream/exchange.ts'
import type { UpstreamCounts } from '../upstream/upstream-counts.ts'
import type { Upstream } from '../upstream/upstream.ts'
import type { Classified } from './classify.ts'

/** The end of a race: a usable response, or the reason why there is none. */
export type Outcome =
  | {
      readonly kind: 'response'
      readonly upstream: Upstream
      readonly wire: Buffer
      readonly records: Records
      readonly is: Classified
    }
  | {
      readonly kind: 'failed'
      /** dead: no upstream was asked, because all are known to be dead. soft: even the best reply was unusable. */
      readonly why: 'silence' | 'unreachable' | 'soft' | 'dead'
      /** The RCODE of the upstream's reply; SERVFAIL if there was none. */
      readonly rcode: number
      readonly upstream: Upstream | undefined
      /** What is wrong with a reply, in words for an operator, if its RCODE does not say it. */
      readonly because?: string | undefined
    }

export type RaceRules = {
  readonly grace: Milliseconds
  readonly deadline: Milliseconds
  readonly retransmit: readonly Milliseconds[]
}

/** The parts of the data thread that all races share. */
export type RaceContext = {
  readonly exchanges: Exchanges
  readonly timers: Timers
  readonly rules: RaceRules
  /** The same question to one upstream over its stream: TCP, TLS or HTTPS. `fresh`: opens a new connection instead of a silent one. */
  readonly overStream: (
    upstream: Upstream,
    question: Buffer,
    signal: AbortSignal,
    fresh: boolean,
  ) => Promise<Buffer>
  readonly peerOf: (upstream: Upstream) => Peer
  readonly counts: UpstreamCounts
  readonly now: () => Milliseconds
  /** Races that are decided and still wait for losers. */
  readonly lingering: Lingering
}

/** The object that started a race and receives its result. */
export interface RaceOwner {
  /** Called once, at the end. A response is wire[0, records.end), and is valid during the call only. */
  finish(outcome: Outcome): void
  /** Called when a positive answer comes after a negative one was given. */
  late(outcome: Outcome): void
}

/** Called at each step if the query is traced (`query --trace`). */
export type Watch = (step: string, detail: string) => void

export type RaceOptions = {
  /** race: all at once, negatives need a majority. hedge: one after another, the first usable reply wins. */
  readonly policy: 'race' | 'hedge'
  /** Whether a signed zone may be behind the question. If so, a reply without OPT cannot answer DO=1. */
  readonly maybeSigned: boolean
  readonly rules?: RaceRules
  readonly watch?: Watch | undefined
  /** The addresses of the upstreams, if the caller has them already. */
  readonly peers?: readonly Peer[] | undefined
}
