/** What the processes of the balancer's bench agree on. */

/** Ports of every backend's address. */
export const PORTS = [31_000, 31_001, 31_002] as const
/** The network of all backends, routed to the namespace of the server. */
export const BACKENDS = '10.64.0.0/16'
export const VIPS = 5_000
export const EACH = 10
/**
 * Nodes that announce the VIPs; each VIP is announced by two of them, with half of its backends. One node may announce
 * at most 256 KiB.
 */
export const NODES = 9
export const HALF = EACH / 2

/** The address of a VIP's nth backend. */
export const backendOf = (vip: number, nth: number): string => {
  const at = vip * EACH + nth
  return `10.64.${at >> 8}.${at & 255}`
}

/** The VIP that changes during the measurement. */
export const MOVING = 'moves.bench'

/** One measurement of connections: half of them directly to these addresses, half to these VIPs. */
export type Connects = {
  readonly direct: readonly string[]
  readonly vips: readonly string[]
  readonly count: number
}
/** Medians in microseconds. */
export type Connected = { readonly direct: number; readonly vip: number }

/** A stream of connections at a fixed rate, until a message 'stop'. */
export type Steady = { readonly to: string; readonly port: number; readonly perSecond: number }
export type Streamed = { readonly tried: number; readonly failures: Record<string, number> }

/** Percentile of a list; the list is sorted by it. */
export const percentile = (times: number[], share: number): number =>
  times.sort((a, b) => a - b)[Math.min(times.length - 1, Math.floor(times.length * share))] ?? NaN
