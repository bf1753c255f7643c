/** `spartan balance`: the process that distributes connections to VIPs on this agent. */
import type { Command } from 'commander'
import { CONFIG_FILE } from '../config/config.ts'
import { examples } from './options.ts'

type Options = { readonly config: string; readonly cleanup?: boolean }

/** Adds the command to the program. `ended` gets the exit status. */
export const addBalance = (program: Command, ended: (status: number) => void): void => {
  program
    .command('balance')
    .description('carry connections to VIPs on this host to their backends, in the kernel')
    .option('-c, --config <file>', 'configuration file, the same as of the daemon', CONFIG_FILE)
    .option('--cleanup', 'take all rules and routes away, and end')
    .addHelpText(
      'after',
      examples('spartan balance --config /etc/spartan/spartan.yaml', 'spartan balance --cleanup'),
    )
    .action(async ({ config: file, cleanup }: Options) => {
      const { readConfigAside } = await import('../config/aside.ts')
      const config = await readConfigAside(file)
      const { cleanUp, runBalancer } = await import('../balance/main.ts')
      ended(await (cleanup ? cleanUp(config) : runBalancer(config)))
    })
}
