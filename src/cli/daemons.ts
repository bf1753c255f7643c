/**
 * The commands run, demo and mesos-dns, which are large programs. Each is loaded on demand, so that `spartan status`
 * starts quickly.
 */
import type { Command } from 'commander'
import { CONFIG_FILE } from '../config/config.ts'
import { readConfigAside } from '../config/aside.ts'
import type { Threads } from '../daemon/threads.ts'
import type { DemoOptions } from '../demo/demo.ts'
import { examples, number } from './options.ts'

/** Adds the commands to the program. `ended` gets the exit status; `run` uses `threads`. */
export const addDaemons = (
  program: Command,
  ended: (status: number) => void,
  threads?: Threads,
): void => {
  program
    .command('run')
    .description('run the forwarder in the foreground')
    .option('-c, --config <file>', 'configuration file', CONFIG_FILE)
    .option('--handover', 'answer while the daemon restarts, for spartan-handover.service')
    .addHelpText('after', examples('spartan run --config /etc/spartan/spartan.yaml'))
    .action(async ({ config, handover }: { config: string; handover?: boolean }) => {
      const reading = readConfigAside(config, threads?.config)
      reading.catch(() => {})
      const { runDaemon } = await import('../daemon/run.ts')
      ended(
        await runDaemon({
          configPath: config,
          reading,
          handover: handover === true,
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
}
