/**
 * Whether all upstreams of a route are silent, so that a new question need not
 * wait for its deadline. One question without an answer does not tell: its
 * domain may be broken. A probe or another question must have failed, too, and
 * nothing may have been heard from any of them since. Pure.
 */
import type { Route } from '../answer/router.ts'

/** Failures in a row that say that an upstream is silent, and not its question slow. */
const SILENCES = 2

export const isSilent = ({ silentSince, upstreams }: Route): boolean =>
  silentSince !== undefined &&
  upstreams.every(({ liveness }) => liveness.repliedAt <= silentSince) &&
  upstreams.some(({ liveness }) => liveness.silences >= SILENCES)
