/**
 * Decides when agents and tasks that a new master does not report are really gone. A new leader knows its agents
 * from its log, but their tasks only after the agents have registered again; if its first state were taken as
 * complete, DNS would be empty after every failover (DCOS_OSS-5463). Pure: it computes until when to wait.
 */

/** Longest wait for agents; after this time Mesos itself removes them. */
export const RECOVERY_MS = 600_000
/** Additional wait for the tasks of the last agent. */
export const SETTLE_MS = 10_000

export type Hold = {
  /** After this time, whatever is missing counts as gone. */
  readonly deadline: number
  /** All agents are back, and their tasks may arrive until this time; 0 while agents are missing. */
  readonly settled: number
}

/** The hold after a load; undefined if the master is not missing agents. */
export const holdAfterLoad = (recovered: ReadonlySet<string>, now: number): Hold | undefined =>
  recovered.size === 0 ? undefined : { deadline: now + RECOVERY_MS + SETTLE_MS, settled: 0 }

/** The hold after events, with the agents that are still missing. */
export const holdAfterEvents = (hold: Hold, recovered: ReadonlySet<string>, now: number): Hold =>
  recovered.size > 0 || hold.settled !== 0 ? hold : { ...hold, settled: now + SETTLE_MS }

/** When the hold ends according to current knowledge. */
export const holdEnd = ({ deadline, settled }: Hold): number =>
  settled === 0 ? deadline : Math.min(settled, deadline)

/**
 * The agents to wait for after a failover: those that the new master has not heard from yet. If it reports no agents at
 * all, which no working cluster does, these are all agents that were known before.
 */
export const missingAgents = (
  recovered: ReadonlySet<string>,
  before: ReadonlyMap<string, unknown>,
  after: ReadonlyMap<string, unknown>,
): ReadonlySet<string> =>
  after.size === 0 && before.size > 0 ? new Set([...before.keys(), ...recovered]) : recovered
