/**
 * The commands that are programs of their own: run, demo, mesos-dns and bench.
 * Each is loaded only when it is asked for, so that `spartan status` does not
 * pay for the daemon.
 */
import type { Command } from 'commander'
import { CONFIG_FILE } from '../config.ts'
import type { Io } from './io.ts'
import { examples, number } from './options.ts'

/** A program's entry: it reports its exit status when it has ended. */
type Entry<O> = (options: O) => Promise<number>

/** Options of bench, as the program in bench/ takes them; what is left out is its own choice. */
export type BenchOptions = {
  /** Names of cases and of servers to compare; all if empty. */
  readonly cases: readonly string[]
  readonly servers: readonly string[]
  /** Of each measurement. */
  readonly seconds?: number
  readonly runs?: number
  /** Put the table into the README. */
  readonly write: boolean
  readonly json: boolean
}

const words = (text: string): string[] => text.split(',').filter(word => word !== '')

/** Add the commands to the program. `ended` takes the exit status. */
export const addDaemons = (program: Command, _io: Io, ended: (status: number) => void): void => {
  program
    .command('run')
    .description('run the forwarder in the foreground')
    .option('-c, --config <file>', 'configuration file', CONFIG_FILE)
    .addHelpText('after', examples('spartan run --config /etc/spartan/spartan.yaml'))
    .action(async ({ config }: { config: string }) => {
      const { runDaemon } = await import('../daemon.ts')
      ended(await runDaemon({ configPath: config }))
    })

  program
    .command('demo')
    .description(
      'run a whole small cluster on loopback: masters, agents and tasks, with dig lines to try',
    )
    .option(
      '-s, --seconds <number>',
      'end after so many seconds (default: run until ^C)',
      number(1),
    )
    .option(
      '-p, --base-port <number>',
      'first of the unprivileged ports it uses',
      number(1024, 65_000),
    )
    .addHelpText('after', examples('spartan demo', 'spartan demo --seconds 30'))
    .action(async (options: { seconds?: number; basePort?: number }) =>
      ended(await entry<typeof options>('../demo/demo.ts', 'runDemo')(options)),
    )

  program
    .command('mesos-dns')
    .description("serve the zone mesos on a master; takes Mesos-DNS's own configuration file")
    .requiredOption('-c, --config <file>', "configuration in Mesos-DNS's JSON")
    .addHelpText('after', examples('spartan mesos-dns --config /opt/mesosphere/etc/mesos-dns.json'))
    .action(async ({ config }: { config: string }) =>
      ended(
        await entry<{ configPath: string }>(
          '../mesos-dns/main.ts',
          'runMesosDns',
        )({ configPath: config }),
      ),
    )

  program
    .command('bench')
    .description(
      'measure the forwarder beside other servers installed here; loopback only, bounded in time',
    )
    .option('--cases <list>', 'only these cases, separated by commas', words, [])
    .option('--servers <list>', 'only these servers, separated by commas', words, [])
    .option('-s, --seconds <number>', 'length of one measurement', number(1, 600))
    .option(
      '-r, --runs <number>',
      'measurements of each, of which the median counts',
      number(1, 100),
    )
    .option('--write', 'put the table into the README', false)
    .option('--json', 'print the measurements as JSON', false)
    .addHelpText('after', examples('spartan bench', 'spartan bench --cases hit,miss --runs 5'))
    .action(async (options: BenchOptions) =>
      ended(await entry<BenchOptions>('../bench/bench.ts', 'bench')(options)),
    )
}

/** The program in a module, loaded when it is called. */
const entry =
  <O>(module: string, name: string): Entry<O> =>
  async options => {
    const found = (await import(module)) as Record<string, Entry<O>>
    return found[name]!(options)
  }
