/**
 * Push/pull: both sides give their whole table. Writing and merging are done
 * in slices, as jobs that the core runs between other inputs: at 10,000
 * members the whole would hold the event loop for 50 ms.
 */
import { readPushPullHead, readState, writePushPullHead } from '../wire/messages.ts'
import { Reader } from '../wire/msgpack.ts'
import { Writer } from '../wire/writer.ts'
import { NODES_MOST, STREAM_MOST } from '../wire/stream.ts'
import { encodedEntry, type Entry } from './members.ts'
import type { Swim } from './swim.ts'

/** Members written or merged in one slice: a fifth of a millisecond, and below 5 ms even in code that is not compiled yet. */
export const SLICE = 100

/** A table of so many is told on in any case: two who join at once must hear of each other. */
const FEW = 16

/** A piece of work that is done a slice at a time. */
export type Job = {
  /** Does one slice; true when that was the last. */
  step: () => boolean
}

/** How the user state (Serf's) of a push/pull is made and taken. */
export type UserState = {
  /** Writes it for these members: a job whose result is there when it is done. */
  readonly write: (entries: readonly Entry[], done: (bytes: Uint8Array) => void) => Job
  /** Takes a peer's. */
  readonly merge: (bytes: Uint8Array, join: boolean, done: () => void) => Job
}

/** Runs jobs one after another as one. */
const inOrder = (jobs: readonly (() => Job)[]): Job => {
  let at = 0
  let job: Job | undefined
  return {
    step: () => {
      job ??= jobs[at]?.()
      if (job?.step() ?? true) {
        job = undefined
        at++
      }
      return at >= jobs.length
    },
  }
}

/** Writes our table, or these members of it, as a push/pull message, in parts. */
export const writeTable = (
  swim: Swim,
  user: UserState,
  join: boolean,
  done: (parts: readonly Uint8Array[]) => void,
  entries: readonly Entry[] = [...swim.table],
): Job => {
  const states = new Writer(entries.length * 112)
  let at = 0
  const writeStates: Job = {
    step: () => {
      const end = Math.min(entries.length, at + SLICE)
      for (; at < end; at++) states.bytes(encodedEntry(entries[at]!))
      return at >= entries.length
    },
  }
  return inOrder([
    () => writeStates,
    () =>
      user.write(entries, bytes => {
        const head = writePushPullHead({ nodes: entries.length, userLength: bytes.length, join })
        done([head, states.done(), bytes])
      }),
  ])
}

/**
 * Merges a peer's push/pull.
 * @param message the whole message, its type octet included
 * @param done says whether all of it could be read
 */
export const mergeTable = (
  swim: Swim,
  user: UserState,
  message: Uint8Array,
  done: (ok: boolean) => void,
): Job => {
  const r = new Reader(message, 1)
  const head = readPushPullHead(r, NODES_MOST, STREAM_MOST)
  let left = head?.nodes ?? 0
  let failed = head === undefined
  // who was alone learns of a whole ring at once and has nobody to tell
  let tell: boolean | undefined
  const mergeStates: Job = {
    step: () => {
      tell ??= swim.table.living > 1 || left <= FEW
      for (let n = Math.min(left, SLICE); n > 0 && !failed; n--, left--) {
        const state = readState(r)
        if (state) swim.merge(state, tell)
        else failed = true
      }
      if (failed) left = 0
      return left <= 0
    },
  }
  const finish: Job = {
    step: () => {
      done(!failed)
      return true
    },
  }
  return inOrder([
    () => mergeStates,
    () => {
      const bytes = head && !failed ? r.take(head.userLength) : new Uint8Array(0)
      failed ||= !r.ok
      return failed || bytes.length === 0
        ? finish
        : user.merge(bytes, head?.join ?? false, () => done(true))
    },
  ])
}

/** Milliseconds between push/pulls in a ring of n: 30 s, and longer from 32 members on (memberlist's scale). */
export const syncInterval = (n: number): number =>
  30_000 * (n <= 32 ? 1 : Math.ceil(Math.log2(n) - Math.log2(32)) + 1)
