/**
 * What a race needs, and what comes of it: for those who start one and those
 * who wait for its end.
 */
import type { Lingering } from './lingering.ts'
import type { Milliseconds } from '../../boundary/messages.ts'
import type { Records } from '../../wire/scan.ts'
import type { Peer } from '../io/packet-io.ts'
import type { Timers } from '../timers.ts'
import type { Exchanges } from '../upstream/exchange.ts'
import type { UpstreamCounts } from '../upstream/upstream-counts.ts'
import type { Upstream } from '../upstream/upstream.ts'
import type { Classified } from './classify.ts'

/** What became of a question: a response to use, or why there is none. */
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
      /** dead: nobody was asked, because every upstream is known to be dead. soft: the best reply was of no use. */
      readonly why: 'silence' | 'unreachable' | 'soft' | 'dead'
      /** What the upstream said; SERVFAIL where nobody said anything. */
      readonly rcode: number
      readonly upstream: Upstream | undefined
      /** Our judgement of a reply whose RCODE does not say it, for a person. */
      readonly because?: string | undefined
    }

export type RaceRules = {
  readonly grace: Milliseconds
  readonly deadline: Milliseconds
  readonly retransmit: readonly Milliseconds[]
}

/** What all races share. */
export type RaceContext = {
  readonly exchanges: Exchanges
  readonly timers: Timers
  readonly rules: RaceRules
  /** The same question to one upstream over its stream: TCP, TLS or HTTPS. `fresh`: not on a connection that is silent. */
  readonly overStream: (
    upstream: Upstream,
    question: Buffer,
    signal: AbortSignal,
    fresh: boolean,
  ) => Promise<Buffer>
  readonly peerOf: (upstream: Upstream) => Peer
  readonly counts: UpstreamCounts
  readonly now: () => Milliseconds
  /** Decided races that still wait for losers. */
  readonly lingering: Lingering
}

/** Who started a race. */
export interface RaceOwner {
  /** Its end, once; a response is wire[0, records.end), valid during the call only. */
  finish(outcome: Outcome): void
  /** A positive answer came after a negative one had been given. */
  late(outcome: Outcome): void
}

/** Called at each step when somebody watches (query --trace). */
export type Watch = (step: string, detail: string) => void

export type RaceOptions = {
  /** race: all at once, negatives need a majority. hedge: one after another, the first usable reply wins. */
  readonly policy: 'race' | 'hedge'
  /** Whether a signed zone may be behind the question. If so, a reply without OPT cannot answer DO=1. */
  readonly maybeSigned: boolean
  readonly rules?: RaceRules
  readonly watch?: Watch | undefined
  /** Where the upstreams are, when the caller has it at hand. */
  readonly peers?: readonly Peer[] | undefined
}
