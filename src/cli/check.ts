/**
 * `spartan check`: checks a configuration and prints the effective values. It opens the files that the daemon would
 * open, with the same user, and warns about valid but suspicious settings. It binds nothing, changes nothing, and
 * sends queries only with --deep.
 */
import type { Command } from 'commander'
import { CONFIG_FILE, problemsOf, readHost, showProblem, type Loaded } from '../config/config.ts'
import { codeOf } from '../base/error.ts'
import { DONE, FAILED, WRONG, type Io } from './io.ts'
import type { Asked } from './deep.ts'
import { examples } from './options.ts'
import { table, type Column } from './table.ts'

type Options = {
  readonly config: string
  readonly json?: boolean
  readonly quiet?: boolean
  readonly deep?: boolean
}

/** Adds the command to the program. `ended` gets the exit status. */
export const addCheck = (program: Command, io: Io, ended: (status: number) => void): void => {
  program
    .command('check')
    .description('check a configuration, and print what it comes to with the origin of every value')
    .option('-c, --config <file>', 'configuration file', CONFIG_FILE)
    .option('-q, --quiet', 'print only what is wrong')
    .option(
      '--deep',
      'ask masters, Mesos, ZooKeeper, upstreams and seeds once, and say who answered',
    )
    .option('--json', 'print values, origins and problems as JSON')
    .addHelpText(
      'after',
      examples(
        'spartan check --config spartan.yaml',
        'spartan check --quiet && systemctl reload spartan',
        'spartan check --deep --config /etc/spartan/spartan.yaml',
      ),
    )
    .action(async (options: Options) => ended(await check(io, options)))
}

/** The keys of files that cannot be opened, without duplicates. */
const listOf = (problems: readonly { readonly key: string }[]): string =>
  [...new Set(problems.map(({ key }) => key))].join(', ')

const check = async (io: Io, { config: file, json, quiet, deep }: Options): Promise<number> => {
  const { loadConfigFile } = await import('../config/load.ts')
  const { effective, showEffective } = await import('../config/effective.ts')
  let loaded: Loaded
  try {
    loaded = loadConfigFile(file, readHost())
  } catch (er) {
    if (codeOf(er) !== 'ECONFIG') throw er
    const problems = problemsOf(er)
    if (json) io.out(`${JSON.stringify({ file, ok: false, problems }, null, 2)}\n`)
    else {
      for (const problem of problems) io.err(`${showProblem(file, problem)}\n`)
      io.err(
        `${file}: ${problems.length} problem${problems.length === 1 ? '' : 's'}, nothing would be started\n`,
      )
    }
    return WRONG
  }
  const { obstacles } = await import('../control/openings.ts')
  const { dangersOf } = await import('../config/dangers.ts')
  const problems = await obstacles(loaded.config)
  const { vips } = loaded.config
  const { hostBalancers } = await import('../control/vips/host-balancers.ts')
  const balanced = !vips || Object.values(hostBalancers([vips.range, vips.range6])).includes(true)
  const warnings = dangersOf(loaded.config, balanced)
  const asked = deep ? await (await import('./deep.ts')).askEverybody(loaded.config) : undefined
  const ok = problems.length === 0 && (asked?.every(({ ok }) => ok) ?? true)
  if (json) {
    const values = effective(loaded)
    io.out(`${JSON.stringify({ file, ok, problems, warnings, asked, values }, null, 2)}\n`)
    return ok ? DONE : FAILED
  }
  if (!quiet) io.out(showEffective(loaded, file))
  if (asked && !quiet) io.out(`\n${table(asked.map(row), ASKED) || 'nobody to ask\n'}`)
  for (const { key, message } of warnings) io.err(`${file}: warning: ${key}: ${message}\n`)
  for (const { key, message } of problems) io.err(`${file}: ${key}: ${message}\n`)
  for (const { key, who, ok, detail } of asked ?? [])
    if (!ok) io.err(`${file}: ${key}: ${who}: ${detail}\n`)
  if (problems.length > 0)
    io.err(`${file}: the daemon would start, without what needs ${listOf(problems)}\n`)
  // Not WRONG, because the daemon starts and answers DNS with such a configuration.
  return ok ? DONE : FAILED
}

const row = ({ key, who, detail }: Asked): Record<string, unknown> => ({ key, who, detail })
const ASKED: Column[] = [
  ['KEY', one => one['key']],
  ['ASKED', one => one['who']],
  ['RESULT', one => one['detail']],
]
