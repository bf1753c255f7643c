/**
 * Decides which master to ask next, how, and when; it uses no sockets. A follower's redirect leads to the leader. If
 * a master fails, the next one is tried at once, and after all of them there is a wait. If streaming does not work,
 * `/state` is polled and streaming is tried again from time to time.
 */
import { Backoff } from '../../base/backoff.ts'

export type Step = {
  readonly how: 'stream' | 'poll'
  /** Base URL of the master, 'http://10.0.0.5:5050'; '' if no master is known. */
  readonly base: string
  readonly afterMs: number
}

/** The result of a step. */
export type Outcome =
  /** The master is not leading; `base` is the leader's URL, '' if it is unknown. */
  | { readonly kind: 'redirect'; readonly base: string }
  /** The operator API is missing or not permitted. */
  | { readonly kind: 'unsupported' }
  /** Our credentials were refused, or there are none to be had now. */
  | { readonly kind: 'refused'; readonly askedMs?: number }
  /** The stream delivered the state and ended later. */
  | { readonly kind: 'ended' }
  /** The step failed. `reached`: some server did answer. `askedMs`: how long it wants to be left alone. */
  | { readonly kind: 'failed'; readonly reached: boolean; readonly askedMs?: number }
  /** `/state` was loaded. */
  | { readonly kind: 'polled' }

export type ItineraryOptions = {
  /** Base URLs of the current masters, in order of preference. */
  readonly masters: () => readonly string[]
  /**
   * False: only these masters are asked, and a redirect means "not leading now" (for a publisher on a master's
   * host).
   */
  readonly follow: boolean
  /** Base URL of the master that ZooKeeper says leads; '' while it says nothing. Nobody else is asked meanwhile. */
  readonly leader?: () => string
  readonly random: () => number
  /** Interval of polls. */
  readonly pollMs?: number
  /** Wait between rounds: 2 s, growing to 30 s. */
  readonly minMs?: number
  readonly maxMs?: number
}

/** Waits between rounds, the same as in dcos-net. */
const MIN_MS = 2_000
const MAX_MS = 30_000
/** Limit of redirects in a row; more count as a loop. */
const MAX_HOPS = 3
/** After this many streams in a row that were answered but delivered nothing, `/state` is polled. */
const STREAM_TRIES = 3
/** Longest wait for a leader that ZooKeeper names and that does not serve yet. */
const LEADER_MS = 1_000
/** First wait for it. */
const LEADER_MIN_MS = 250
/** Longest wait after a refusal: a token is renewed, or its file changed, any moment. */
const REFUSED_MS = 5_000
/** Polls before streaming is tried again: five minutes at the usual 5 s. */
const POLLS = 60

export class Itinerary {
  readonly #options: ItineraryOptions
  readonly #backoff: Backoff
  #how: Step['how'] = 'stream'
  #base = ''
  #hops = 0
  /** Masters tried since the last wait. */
  #tried = new Set<string>()
  /** The longest time that one of them wants to be left alone. */
  #askedMs = 0
  #useless = 0
  #polls = 0

  constructor(options: ItineraryOptions) {
    this.#options = options
    const { minMs = MIN_MS, maxMs = MAX_MS, random } = options
    this.#backoff = new Backoff({ minMs, maxMs, random })
  }

  /** The first step; all that was tried before is forgotten. */
  start(): Step {
    this.#how = 'stream'
    this.#hops = this.#useless = this.#polls = 0
    this.#endRound()
    this.#backoff.reset()
    return this.#go(this.#first, 0)
  }

  /** The next step after this end of the last. */
  next(outcome: Outcome): Step {
    if (outcome.kind !== 'redirect') this.#hops = 0
    if (outcome.kind === 'failed' || outcome.kind === 'refused')
      this.#askedMs = Math.max(this.#askedMs, outcome.askedMs ?? 0)
    switch (outcome.kind) {
      case 'redirect': {
        const { base } = outcome
        const { follow, random, minMs = MIN_MS } = this.#options
        const leader = this.#leader
        // a master that has just been elected may not know it yet, and sends us to the one before
        const awaited = leader !== '' && base !== leader && (follow || this.#base === leader)
        const waitMs = Math.round((awaited ? LEADER_MIN_MS : minMs) * (1 + random()))
        if (awaited) return this.#go(follow ? leader : this.#base, waitMs)
        // a healthy follower may lead any moment: asked again soon, and without growing waits
        if (!follow) return this.#go(this.#base, waitMs)
        return base === '' || ++this.#hops > MAX_HOPS ? this.#wait() : this.#go(base, 0)
      }
      case 'unsupported':
        this.#startPolling()
        return this.#go(this.#base, 0)
      case 'refused':
        return this.#another(REFUSED_MS)
      case 'ended':
        this.#useless = 0
        this.#backoff.reset()
        return this.#wait()
      case 'failed':
        if (this.#how === 'poll') {
          // neither works: streaming is tried again sooner
          this.#polls = Math.min(this.#polls, STREAM_TRIES)
          this.#polled()
        } else if (outcome.reached && ++this.#useless >= STREAM_TRIES) this.#startPolling()
        return this.#another()
      case 'polled':
        this.#endRound()
        this.#backoff.reset()
        this.#polled()
        return this.#go(this.#base, this.#options.pollMs ?? 5_000)
    }
  }

  #startPolling(): void {
    this.#how = 'poll'
    this.#polls = POLLS
  }

  #polled(): void {
    if (--this.#polls > 0) return
    this.#how = 'stream'
    this.#useless = 0
  }

  /** A master not yet tried in this round, at once; else the first one, later. */
  #another(mostMs = Infinity): Step {
    if (this.#leader !== '' && this.#options.follow) return this.#wait(mostMs)
    const untried = this.#options.masters().find(base => !this.#tried.has(base))
    return untried === undefined ? this.#wait(mostMs) : this.#go(untried, 0)
  }

  #wait(mostMs = Infinity): Step {
    this.#hops = 0
    const most = this.#leader === '' ? mostMs : Math.min(mostMs, LEADER_MS)
    const waitMs = Math.min(most, this.#backoff.next(this.#askedMs))
    this.#endRound()
    return this.#go(this.#first, waitMs)
  }

  #endRound(): void {
    this.#tried.clear()
    this.#askedMs = 0
  }

  get #leader(): string {
    return this.#options.leader?.() ?? ''
  }

  /** The master to begin with; '' if none is known. */
  get #first(): string {
    const { masters, follow } = this.#options
    return (follow && this.#leader) || (masters()[0] ?? '')
  }

  #go(base: string, afterMs: number): Step {
    this.#base = base
    this.#tried.add(base)
    return { how: this.#how, base, afterMs }
  }
}
