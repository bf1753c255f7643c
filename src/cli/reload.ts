/**
 * `spartan reload`: makes the running daemon read its configuration again, and prints for each changed key what
 * happened.
 */
import type { Command } from 'commander'
import { fail } from '../base/error.ts'
import { DONE, FAILED, type Io } from './io.ts'
import { daemon, examples, withDaemon, type DaemonOptions } from './options.ts'
import type { ReloadOutcome } from '../daemon/reloader.ts'

/** The reload succeeded, but some new values apply only after a restart. */
export const RESTART = 3

/** Longer than reading the file and restarting a part may take. */
const DEADLINE_MS = 60_000

/** Adds the command to the program. `ended` gets the exit status. */
export const addReload = (program: Command, io: Io, ended: (status: number) => void): void => {
  withDaemon(program.command('reload'))
    .description('make the running daemon read its configuration again, and say what came of it')
    .addHelpText(
      'after',
      `${examples('spartan reload', 'spartan reload --json')}
Exit status: 0 all is in use, 1 refused or not running, 3 some of it needs a restart.
`,
    )
    .action(async (options: DaemonOptions) => ended(await reload(io, options)))
}

const reload = async (io: Io, options: DaemonOptions): Promise<number> => {
  const { json } = await daemon(options, {
    method: 'POST',
    path: '/v1/reload',
    deadlineMs: DEADLINE_MS,
  })
  const said = json as ReloadOutcome | undefined
  if (!said?.outcome) throw fail('what answers there is not a spartan daemon', 'EHTTP')
  const text = options.json ? `${JSON.stringify(said, null, 2)}\n` : outcomeText(said)
  if (said.outcome === 'refused' && !options.json) io.err(text)
  else io.out(text)
  return said.outcome === 'applied' ? DONE : said.outcome === 'refused' ? FAILED : RESTART
}

const outcomeText = ({ outcome, applied, needsRestart, error }: ReloadOutcome): string => {
  if (outcome === 'refused') return `${error}\nrefused, the configuration in use stays\n`
  const list = (keys: readonly string[]): string => keys.map(key => `  ${key}\n`).join('')
  return [
    applied.length > 0 ? `in use now:\n${list(applied)}` : '',
    needsRestart.length > 0 ? `in use after a restart:\n${list(needsRestart)}` : '',
    applied.length + needsRestart.length === 0 ? 'nothing has changed\n' : '',
  ].join('')
}
