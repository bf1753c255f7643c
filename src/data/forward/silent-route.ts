/**
 * Decides whether all upstreams of a route are silent. If so, a new question fails early instead of waiting for its
 * deadline. One unanswered question is no proof, because its domain may be broken: a probe or another question must
 * have failed too, and no upstream of the route may have replied since. Pure.
 */
import type { Route } from '../answer/router.ts'

/** After this many failures in a row the upstream is silent, rather than one question slow. */
const SILENCES = 2

export const isSilent = ({ silentSince, upstreams }: Route): boolean =>
  silentSince !== undefined &&
  upstreams.every(({ liveness }) => liveness.repliedAt <= silentSince) &&
  upstreams.some(({ liveness }) => liveness.silences >= SILENCES)
