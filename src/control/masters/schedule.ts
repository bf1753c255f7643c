/**
 * Decides what follows from a read of the list of masters. Pure. A good list is used, a changed one is reported and
 * stored, and the next read comes much later; a failed read changes nothing and is retried soon. A list that was not
 * empty never becomes empty again.
 */
import type { Endpoint, Milliseconds } from '../../boundary/messages.ts'
import { atLeast } from '../../base/backoff.ts'
import { sameMasters } from './list.ts'

export type Origin = 'source' | 'disk' | 'none'

export type MastersState = {
  readonly masters: readonly Endpoint[]
  /** Where the current list came from. */
  readonly origin: Origin
  /** Failed reads since the last good one. */
  readonly failures: number
  /** Why the last read failed, '' if it succeeded. */
  readonly trouble: string
}

export type Look =
  | { readonly type: 'good'; readonly masters: readonly Endpoint[] }
  /** `askedMs`: how long the server wants to be left alone. */
  | { readonly type: 'failed'; readonly why: string; readonly askedMs?: Milliseconds }
  /** The list stored by the last run; [] if there is none. */
  | { readonly type: 'stored'; readonly masters: readonly Endpoint[] }

export type Step = {
  readonly state: MastersState
  /** The list has changed: report it, and store it if it came from the source. */
  readonly changed: boolean
  readonly store: boolean
  /** Wait until the next read. */
  readonly nextMs: Milliseconds
}

export type ScheduleOptions = {
  /** Wait after a good read; default 120 s. */
  readonly refreshMs: Milliseconds
  /**
   * Wait after a failed read; 5 s, with jitter of a fifth in either direction. A server may ask for a longer one, up to
   * `refreshMs`.
   */
  readonly retryMs: Milliseconds
  readonly random: () => number
}

export const noMasters: MastersState = { masters: [], origin: 'none', failures: 0, trouble: '' }

export const afterLook = (state: MastersState, look: Look, options: ScheduleOptions): Step => {
  const { refreshMs, retryMs, random } = options
  switch (look.type) {
    case 'stored': {
      const use = state.origin === 'none' && look.masters.length > 0
      const next = use ? { ...state, masters: look.masters, origin: 'disk' as const } : state
      return { state: next, changed: use, store: false, nextMs: 0 }
    }
    case 'good': {
      if (look.masters.length === 0)
        return afterLook(state, { type: 'failed', why: 'the list is empty' }, options)
      const changed = !sameMasters(look.masters, state.masters)
      return {
        state: { masters: look.masters, origin: 'source', failures: 0, trouble: '' },
        changed,
        store: changed || state.origin !== 'source',
        nextMs: refreshMs,
      }
    }
    case 'failed': {
      const r = random()
      return {
        state: { ...state, failures: state.failures + 1, trouble: look.why },
        changed: false,
        store: false,
        nextMs: atLeast(retryMs * (0.8 + 0.4 * r), look.askedMs ?? 0, refreshMs, r),
      }
    }
  }
}
