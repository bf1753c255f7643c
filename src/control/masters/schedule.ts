/**
 * What a look at the list of masters leads to: pure. A good list is used, a
 * changed one is told and stored, and the next look is far off; a failed look
 * changes nothing and the next one is near. The list never becomes empty
 * again once there was one.
 */
import type { Endpoint, Milliseconds } from '../../boundary/messages.ts'
import { sameMasters } from './list.ts'

export type Origin = 'source' | 'disk' | 'none'

export type MastersState = {
  readonly masters: readonly Endpoint[]
  /** Where the list in use came from. */
  readonly origin: Origin
  /** Failed looks since the last good one. */
  readonly failures: number
  /** Why the last look failed, '' if it did not. */
  readonly trouble: string
}

export type Look =
  | { readonly type: 'good'; readonly masters: readonly Endpoint[] }
  | { readonly type: 'failed'; readonly why: string }
  /** What the last run stored; [] if nothing. */
  | { readonly type: 'stored'; readonly masters: readonly Endpoint[] }

export type Step = {
  readonly state: MastersState
  /** The list is another one: tell who depends on it, and store it if it is from the source. */
  readonly changed: boolean
  readonly store: boolean
  /** Until the next look. */
  readonly nextMs: Milliseconds
}

export type ScheduleOptions = {
  /** After a good look; 120 s as the originals. */
  readonly refreshMs: Milliseconds
  /** After a failed one; 5 s, with jitter of a fifth either way. */
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
    case 'failed':
      return {
        state: { ...state, failures: state.failures + 1, trouble: look.why },
        changed: false,
        store: false,
        nextMs: Math.round(retryMs * (0.8 + 0.4 * random())),
      }
  }
}
