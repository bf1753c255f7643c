/**
 * When to believe that what is missing is gone. A master that has just become
 * leader knows its agents from its log and their tasks only once they have
 * registered again; taking its first word for everything emptied DNS at every
 * failover (DCOS_OSS-5463). Pure: given the time, it tells until when to wait.
 */

/** Longest wait for agents to come back; Mesos itself gives them up after this. */
export const RECOVERY_MS = 600_000
/** For the tasks of the last agent to arrive. */
export const SETTLE_MS = 10_000

export type Hold = {
  /** Missing is gone from here on, whoever has not come back. */
  readonly deadline: number
  /** All are back and their tasks are arriving, until then; 0 while some are missing. */
  readonly settled: number
}

/** After a load: a hold, or undefined when the master misses nobody. */
export const holdAfterLoad = (recovered: ReadonlySet<string>, now: number): Hold | undefined =>
  recovered.size === 0 ? undefined : { deadline: now + RECOVERY_MS + SETTLE_MS, settled: 0 }

/** The hold after events, given who is still missing. */
export const holdAfterEvents = (hold: Hold, recovered: ReadonlySet<string>, now: number): Hold =>
  recovered.size > 0 || hold.settled !== 0 ? hold : { ...hold, settled: now + SETTLE_MS }

/** When the hold ends, as far as is known now. */
export const holdEnd = ({ deadline, settled }: Hold): number =>
  settled === 0 ? deadline : Math.min(settled, deadline)

/**
 * Agents to wait for after a load: those the master misses; and all we knew if
 * it suddenly knows none, which no working cluster says.
 */
export const missingAgents = (
  recovered: ReadonlySet<string>,
  before: ReadonlyMap<string, unknown>,
  after: ReadonlyMap<string, unknown>,
): ReadonlySet<string> =>
  after.size === 0 && before.size > 0 ? new Set([...before.keys(), ...recovered]) : recovered
