/** `spartan version`: prints the version, for people and for inventories. */
import type { Command } from 'commander'
import { revision, version } from '../base/version.ts'
import { loadLibc } from '../data/io/libc.ts'
import type { Io } from './io.ts'
import { examples } from './options.ts'

/** Whether this machine can receive and send datagrams in batches. */
const batched = async (): Promise<boolean> => {
  try {
    await loadLibc()
    return process.platform === 'linux'
  } catch {
    return false
  }
}

/** Adds the command to the program. */
export const addVersion = (program: Command, io: Io): void => {
  program
    .command('version')
    .description('the version, the commit it was built from, Node, and what works on this machine')
    .option('--json', 'print it as JSON')
    .addHelpText('after', examples('spartan version', 'spartan version --json'))
    .action(async ({ json }: { json?: boolean }) => {
      const facts = {
        version: version(),
        commit: revision(),
        node: process.versions.node,
        platform: process.platform,
        arch: process.arch,
        features: { batchedIo: await batched() },
      }
      io.out(
        json
          ? `${JSON.stringify(facts, null, 2)}\n`
          : `spartan ${facts.version}${facts.commit && ` (${facts.commit})`}, Node ${facts.node}, ${facts.platform} ${facts.arch}, ${facts.features.batchedIo ? 'batched' : 'plain'} i/o\n`,
      )
    })
}
