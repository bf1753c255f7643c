/** `spartan drill`: lets the running daemon behave as if masters, upstreams or gossip were lost, for a limited time. */
import { Argument, type Command } from 'commander'
import { DRILLS } from '../boundary/messages.ts'
import { fail } from '../base/error.ts'
import type { DrillStatus } from '../daemon/drill.ts'
import type { Io } from './io.ts'
import { daemon, examples, time, withDaemon, type DaemonOptions } from './options.ts'
import { showDuration } from './table.ts'

type DrillOptions = DaemonOptions & { readonly for: number }

/** Adds the command to the program. */
export const addDrill = (program: Command, io: Io): void => {
  withDaemon(program.command('drill'))
    .description('behave as if masters, upstreams or gossip were lost, for a limited time')
    .addArgument(
      new Argument(
        '[what]',
        'what counts as lost; stop ends all drills; nothing shows them',
      ).choices([...DRILLS, 'stop']),
    )
    .option('--for <time>', 'how long, at most 1h', time, 60_000)
    .addHelpText(
      'after',
      `${examples('spartan drill masters --for 60s', 'spartan drill', 'spartan drill stop')}
Clients meet the outage: stale answers where there are any, and otherwise SERVFAIL. In a drill of
the gossip the other members see this node as dead, and leave out the VIP backends on it.
`,
    )
    .action((what: string | undefined, options: DrillOptions) => drill(io, what, options))
}

const drill = async (io: Io, what: string | undefined, options: DrillOptions): Promise<void> => {
  const { json } = await daemon(
    options,
    what === undefined
      ? { path: '/v1/drill' }
      : what === 'stop'
        ? { method: 'POST', path: '/v1/drill/stop' }
        : {
            method: 'POST',
            path: '/v1/drill',
            body: { target: what, seconds: options.for / 1000 },
          },
  )
  io.out(options.json ? `${JSON.stringify(json, null, 2)}\n` : textOf(json))
}

const textOf = (json: unknown): string => {
  const { drills, stopped } = (json ?? {}) as { drills?: DrillStatus[]; stopped?: string[] }
  if (stopped) return stopped.length > 0 ? `ended: ${stopped.join(', ')}\n` : 'no drill runs\n'
  if (!drills) throw fail('what answers there is not a spartan daemon', 'EHTTP')
  if (drills.length === 0) return 'no drill runs\n'
  const line = ({ target, secondsLeft }: DrillStatus): string =>
    `${target} count as lost for ${showDuration(secondsLeft * 1000)} more; spartan drill stop ends it\n`
  return drills.map(line).join('')
}
