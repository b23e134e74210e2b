// Far to near, by a counting sort of z-depths; it runs in a worker where the browser lets a page from disk have one.

// Indices of the splats in front of `near`, farthest first. `forward` is the optical axis, a unit vector.
function farToNear(centres, eye, forward, near) {
  const BINS = 65536;
  const count = centres.length / 3;
  const depths = new Float32Array(count);
  let nearest = Infinity, farthest = -Infinity, visible = 0;
  for (let i = 0; i < count; i++) {
    const depth = (centres[3 * i] - eye[0]) * forward[0] + (centres[3 * i + 1] - eye[1]) * forward[1]
      + (centres[3 * i + 2] - eye[2]) * forward[2];
    depths[i] = depth;
    if (depth > near) {
      visible++;
      if (depth < nearest) nearest = depth;
      if (depth > farthest) farthest = depth;
    }
  }
  const scale = (BINS - 1) / Math.max(farthest - nearest, 1e-20);
  const starts = new Uint32Array(BINS + 1);
  const bins = new Uint16Array(count);
  for (let i = 0; i < count; i++) {
    if (!(depths[i] > near)) continue;
    bins[i] = (farthest - depths[i]) * scale;
    starts[bins[i] + 1]++;
  }
  for (let b = 0; b < BINS; b++) starts[b + 1] += starts[b];
  const order = new Uint32Array(visible);
  for (let i = 0; i < count; i++) if (depths[i] > near) order[starts[bins[i]]++] = i;
  return order;
}

// sort(eye, forward) -> promise of the order; one at a time. The page itself sorts until the worker has answered once:
// some browsers have none for a page from disk, and those that take pictures by a clock of their own do not wait for it.
function makeSorter(centres, near) {
  const here = (eye, forward) => Promise.resolve(farToNear(centres, eye, forward, near));
  const sorter = { where: "page", sort: here };
  let worker;
  try {
    const listen = `let centres, near;
      onmessage = ({ data }) => {
        if (data.centres) return void ({ centres, near } = data);
        const order = farToNear(centres, data.eye, data.forward, near);
        postMessage(order, [order.buffer]);
      };`;
    const source = new Blob([`"use strict";\n${farToNear}\n${listen}`], { type: "text/javascript" });
    worker = new Worker(URL.createObjectURL(source));
  } catch {
    return sorter;
  }
  const there = (eye, forward) => new Promise((resolve) => {
    worker.onmessage = ({ data }) => resolve(data);
    worker.postMessage({ eye, forward });
  });
  worker.onerror = (event) => event.preventDefault();
  worker.onmessage = () => {
    worker.postMessage({ centres, near });
    Object.assign(sorter, { where: "worker", sort: there });
  };
  worker.postMessage({ centres: new Float32Array(3), near: 0 });
  worker.postMessage({ eye: [0, 0, -1], forward: [0, 0, 1] });
  return sorter;
}
