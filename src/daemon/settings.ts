/** The part of the configuration for the data thread: at its start, and after a reload. */
import type { DataThreadStart, Settings } from '../boundary/messages.ts'
import type { Config } from '../config/config.ts'
import type { Part } from '../control/part.ts'
import { version } from '../base/version.ts'

const RETRANSMIT_MS = [250, 750]

/** Settings that can change while it runs. */
export const settingsOf = ({ cache, limits, race, identity }: Config): Settings => ({
  cache: {
    serveStale: cache.serveStale,
    minTtl: cache.minTtl,
    maxTtl: cache.maxTtl,
    maxNegativeTtl: cache.maxNegativeTtl,
  },
  tcp: { maxConnections: limits.tcpConnections, idle: limits.tcpIdle },
  race: { grace: race.grace, deadline: race.deadline },
  maxInFlight: limits.inFlight,
  identity,
})

/** The start data. */
export const dataStart = (
  config: Config,
  rest: Pick<DataThreadStart, 'listen' | 'inherited' | 'counters'>,
): DataThreadStart => {
  const settings = settingsOf(config)
  const { maxBytes, maxEntries } = config.cache
  return {
    ...rest,
    ...settings,
    node: config.node,
    version: version(),
    io: config.io,
    restores: config.cache.snapshot !== '',
    cache: { ...settings.cache, maxBytes, maxEntries },
    race: { ...settings.race, retransmit: RETRANSMIT_MS },
  }
}

/** The data thread's settings as a part: a reload sends the new ones. */
export const settingsPart = (
  send: (message: { type: 'settings'; settings: Settings }) => void,
): Part => ({
  name: 'data thread',
  start: () => {},
  reload: (_before, after) => send({ type: 'settings', settings: settingsOf(after) }),
  close: () => {},
})

/** The level of the log as a part. */
export const levelPart = (set: (level: Config['log']['level']) => void): Part => ({
  name: 'daemon',
  start: () => {},
  reload: (_before, after) => set(after.log.level),
  close: () => {},
})
