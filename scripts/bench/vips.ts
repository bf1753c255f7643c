/** VIPs for a server under load: many that stay, and one that moves, as gossip brings them. */
import { renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** As many as a large cluster has; 256 kB of records. */
const MANY = 5_000

const file = (vips: readonly { vip: string; backends: readonly string[] }[]): string =>
  // JSON is YAML.
  JSON.stringify({ framework: 'bench', vips })

/** Writes the VIPs that stay and the first of the one that moves into a folder; the files for `vips.files`. */
export const writeVips = (dir: string): readonly string[] => {
  const many = join(dir, 'vips-many.yaml')
  const vips = Array.from({ length: MANY }, (_, i) => ({
    vip: `/service-${i}:80`,
    backends: [`198.18.${i >> 8}.${i & 255}:31000`],
  }))
  writeFileSync(many, file(vips))
  return [many, moveVip(dir, 0)]
}

/** The one that moves has its backend elsewhere now. */
export const moveVip = (dir: string, turn: number): string => {
  const one = join(dir, 'vips-one.yaml')
  writeFileSync(
    `${one}.new`,
    file([{ vip: '/moves:80', backends: [`198.19.0.${turn % 250}:31000`] }]),
  )
  renameSync(`${one}.new`, one)
  return one
}
