/**
 * The command line of `npm run bench`. It uses only loopback and ends by itself.
 *
 * npm run bench -- --cases hit,miss --runs 5
 */
import { Command } from 'commander'
import { examples, number } from '../../src/cli/options.ts'
import { bench, type BenchOptions } from './bench.ts'

const words = (text: string): string[] => text.split(',').filter(word => word !== '')

await new Command('npm run bench --')
  .description('measure the forwarder beside other servers installed here')
  .option('--cases <list>', 'only these cases, separated by commas', words, [])
  .option('--servers <list>', 'only these servers, separated by commas', words, [])
  .option('-s, --seconds <number>', 'length of one measurement', number(1, 600))
  .option('-r, --runs <number>', 'measurements of each, of which the median counts', number(1, 100))
  .option('--against <file>', "another build's main.js, to be measured beside this one")
  .option('--write', 'put the table into scripts/bench/README.md', false)
  .option('--json', 'print the measurements as JSON', false)
  .addHelpText('after', examples('npm run bench', 'npm run bench -- --cases hit,miss --runs 5'))
  .action(async (options: BenchOptions) => {
    const { cases = [] } = options
    if (cases.includes('balance'))
      process.exitCode = await (await import('./balance/run.ts')).benchBalance()
    else if (cases.includes('zones'))
      process.exitCode = await (await import('./zones/run.ts')).benchZones()
    else process.exitCode = await bench(options)
  })
  .parseAsync()
