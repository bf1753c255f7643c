/**
 * The commands that are programs of their own: run, demo, mesos-dns and bench.
 * Each is loaded only when it is asked for, so that `spartan status` does not
 * pay for the daemon.
 */
import type { Command } from 'commander'
import type { BenchOptions } from '../bench/bench.ts'
import { CONFIG_FILE } from '../config.ts'
import { readConfigAside } from '../config/aside.ts'
import type { Threads } from '../threads.ts'
import type { DemoOptions } from '../demo/demo.ts'
import { examples, number } from './options.ts'

const words = (text: string): string[] => text.split(',').filter(word => word !== '')

/** Add the commands to the program. `ended` takes the exit status; `run` begins with `threads`. */
export const addDaemons = (
  program: Command,
  ended: (status: number) => void,
  threads?: Threads,
): void => {
  program
    .command('run')
    .description('run the forwarder in the foreground')
    .option('-c, --config <file>', 'configuration file', CONFIG_FILE)
    .addHelpText('after', examples('spartan run --config /etc/spartan/spartan.yaml'))
    .action(async ({ config }: { config: string }) => {
      const reading = readConfigAside(config, threads?.config)
      reading.catch(() => {})
      const { runDaemon } = await import('../daemon.ts')
      ended(
        await runDaemon({
          configPath: config,
          reading,
          ...(threads && { thread: threads.thread }),
        }),
      )
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
      '--offset <number>',
      'use other loopback addresses, 127.53+number.*, beside a demo that is running',
      number(0, 200),
    )
    .addHelpText('after', examples('spartan demo', 'spartan demo --seconds 30'))
    .action(async (options: DemoOptions) => {
      const { runDemo } = await import('../demo/demo.ts')
      ended(await runDemo(options))
    })

  program
    .command('mesos-dns')
    .description("serve the zone mesos on a master; takes Mesos-DNS's own configuration file")
    .requiredOption('-c, --config <file>', "configuration in Mesos-DNS's JSON")
    .addHelpText('after', examples('spartan mesos-dns --config /opt/mesosphere/etc/mesos-dns.json'))
    .action(async ({ config }: { config: string }) => {
      const { runMesosDns } = await import('../mesos-dns/main.ts')
      ended(await runMesosDns({ configPath: config }))
    })

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
    .option('--against <file>', "another build's main.js, to be measured beside this one")
    .option('--write', 'put the table into the README of the current folder', false)
    .option('--json', 'print the measurements as JSON', false)
    .addHelpText('after', examples('spartan bench', 'spartan bench --cases hit,miss --runs 5'))
    .action(async (options: BenchOptions) => {
      const { bench } = await import('../bench/bench.ts')
      ended(await bench(options))
    })
}
