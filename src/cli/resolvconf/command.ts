/**
 * `spartan resolvconf`: makes this host's programs use the forwarder, and undoes that. Only addresses that answer
 * are written; if none answers, nothing changes.
 */
import type { Command } from 'commander'
import { fail } from '../../base/error.ts'
import type { Io } from '../io.ts'
import { examples, number, target, time, withConfig } from '../options.ts'
import type { Address } from '../../config/address.ts'
import { apply, print, restore, status, type Options, type Task } from './actions.ts'
import { Report } from './report.ts'

type Action = 'print' | 'apply' | 'restore' | 'status'
const ACTIONS: Readonly<Record<Action, (task: Task) => Promise<number>>> = {
  print,
  apply,
  restore,
  status,
}

/** Adds the command to the program. `ended` gets the exit status. */
export const addResolvconf = (program: Command, io: Io, ended: (status: number) => void): void => {
  withConfig(program.command('resolvconf'))
    .description('point the programs of this host at the local addresses that answer, or back')
    .argument(
      '[action]',
      'apply, restore, status, or print: only print a resolv.conf',
      (text: string) => {
        if (Object.hasOwn(ACTIONS, text)) return text
        throw fail(`'${text}' is none of ${Object.keys(ACTIONS).join(', ')}`, 'EUSAGE')
      },
      'print',
    )
    .option(
      '-w, --write <file>',
      'with print: replace this file and print the difference; nothing is kept',
    )
    .option(
      '-a, --addresses <address...>',
      "probe these (default: the configuration's, or 198.51.100.1 to .3)",
      (text: string, had: Address[] = []) => [...had, target(text)],
    )
    .option(
      '--search <domain...>',
      'search list, at most 6 domains',
      (text: string, had: string[] = []) => [...had, ...text.split(/\s+/)],
      [],
    )
    .option(
      '--port <number>',
      'probe this port, where something leads port 53 to it',
      number(1, 65_535),
      53,
    )
    .option(
      '--keep',
      "with print: keep the old file's other options, its sortlist, and its search list if none is given (apply always does)",
    )
    .option('--timeout <time>', 'wait so long for each address and transport', time, 5000)
    .option(
      '--root <folder>',
      'work on the files of a host that is not running, below this folder',
      '/',
    )
    .option('--json', 'print what was found and done as JSON')
    .option('-q, --quiet', 'with apply: say nothing where nothing is to be done')
    .addHelpText(
      'after',
      `${examples('spartan resolvconf apply', 'spartan resolvconf status', 'spartan resolvconf restore', 'spartan resolvconf print --search corp.example')}
Exit status is 1, and nothing is changed, if no address answers or no upstream has ever answered.
`,
    )
    .action(async (action: Action, options: Options) => {
      const report = new Report(io, options.json ?? false)
      // A getter, because reading the signal has an effect.
      const task = {
        report,
        options,
        get interrupted() {
          return io.interrupted
        },
      }
      ended(await ACTIONS[action](task))
    })
}
