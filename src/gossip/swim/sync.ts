/**
 * Push/pull: two members exchange their whole tables. Tables are written and merged in slices, as jobs that the core
 * runs between other inputs, because a table of 10,000 members would block the event loop for 50 ms.
 */
import { readPushPullHead, readState, writePushPullHead } from '../wire/messages.ts'
import { Reader } from '../wire/msgpack.ts'
import { Writer } from '../wire/writer.ts'
import { NODES_MOST, STREAM_MOST } from '../wire/stream.ts'
import { encodedEntry, type Entry } from './members.ts'
import type { Swim } from './swim.ts'

/** Members written or merged in one slice: 0.2 ms, and below 5 ms before the code is compiled. */
export const SLICE = 100

/**
 * A peer's table of at most this size is always passed on, so that two nodes that join at once learn of each other.
 */
const FEW = 16

/** Work that is done in slices. */
export type Job = {
  /** Does one slice; true when it was the last. */
  step: () => boolean
}

/** Writes and merges the user state (Serf's) of a push/pull. */
export type UserState = {
  /** A job that writes the state of these members and passes the result to `done`. */
  readonly write: (entries: readonly Entry[], done: (bytes: Uint8Array) => void) => Job
  /** A job that merges a peer's state. */
  readonly merge: (bytes: Uint8Array, join: boolean, done: () => void) => Job
}

/** Runs jobs one after another, as one job. */
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

/** Writes our table, or these members of it, as the parts of a push/pull message. */
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
 * @param done called with whether the whole message was valid
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
  // a node that was alone learns the whole ring at once and has no one else to tell
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

/**
 * Milliseconds between push/pulls in a ring of n members: 30 s, and longer from 32 members on (memberlist's scale).
 */
export const syncInterval = (n: number): number =>
  30_000 * (n <= 32 ? 1 : Math.ceil(Math.log2(n) - Math.log2(32)) + 1)
