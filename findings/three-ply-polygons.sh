#!/usr/bin/env bash
# three 0.187.0 (npm): PLYLoader and OBJLoader on a prism with two pentagons and five quads.
# Guess: both loaders make a fan of triangles of each polygon, 16 in all.
# Seen: OBJLoader does. PLYLoader makes two triangles of each quad and passes over all faces of five corners or more
#   without a word: the prism comes back as a tube without ends.
# Output:
#   OBJLoader: 16 triangles, area 10.63
#   PLYLoader: 10 triangles, area 5.88
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{"private": true, "type": "module"}' > package.json
npm install --silent --no-audit --no-fund three@0.187.0
cat > prism.js <<'END'
import assert from 'node:assert';
import { OBJLoader } from 'three/examples/jsm/loaders/OBJLoader.js';
import { PLYLoader } from 'three/examples/jsm/loaders/PLYLoader.js';

const ring = [0, 1, 2, 3, 4];
const corner = (i, z) => [Math.cos((2 * Math.PI * i) / 5), Math.sin((2 * Math.PI * i) / 5), z];
const corners = [...ring.map((i) => corner(i, 0)), ...ring.map((i) => corner(i, 1))];
const quads = ring.map((i) => [i, (i + 1) % 5, 5 + ((i + 1) % 5), 5 + i]);
const faces = [[4, 3, 2, 1, 0], [5, 6, 7, 8, 9], ...quads];

const ply = ['ply', 'format ascii 1.0', `element vertex ${corners.length}`];
ply.push(...['x', 'y', 'z'].map((axis) => `property float ${axis}`));
ply.push(`element face ${faces.length}`, 'property list uchar int vertex_indices', 'end_header');
ply.push(...corners.map((c) => c.join(' ')), ...faces.map((f) => `${f.length} ${f.join(' ')}`), '');
const obj = [...corners.map((c) => `v ${c.join(' ')}`), ...faces.map((f) => `f ${f.map((i) => i + 1).join(' ')}`), ''];

function measured(geometry) {
    const flat = geometry.index ? geometry.toNonIndexed() : geometry;
    const p = flat.getAttribute('position').array;
    let area = 0;
    for (let i = 0; i < p.length; i += 9) {
        const [u, v] = [3, 6].map((k) => [0, 1, 2].map((axis) => p[i + k + axis] - p[i + axis]));
        area += Math.hypot(u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]) / 2;
    }
    return [p.length / 9, area.toFixed(2)];
}

const found = {
    OBJLoader: measured(new OBJLoader().parse(obj.join('\n')).children[0].geometry),
    PLYLoader: measured(new PLYLoader().parse(new TextEncoder().encode(ply.join('\n')).buffer)),
};
for (const [loader, [count, area]] of Object.entries(found)) console.log(`${loader}: ${count} triangles, area ${area}`);
assert.deepEqual(found, { OBJLoader: [16, '10.63'], PLYLoader: [10, '5.88'] });
END
node prism.js
