// The page: unpack, draw when something changed, listen.
const TURN_RATE = 0.5; // radians a second
const SLOW_FRAME = 45; // ms; slower frames are drawn with half the pixels while the view moves
const PAPERS = ["#000", "#fff", "#777"];
const element = (id) => document.getElementById(id);

class Page {
  constructor(scene, splats) {
    this.scene = scene;
    this.canvas = element("stage");
    this.renderer = new Renderer(this.canvas, splats, scene);
    this.sorter = makeSorter(splats.centres, NEAR);
    this.view = new View(scene.home, scene.centre, scene.up);
    this.timings = {};
    this.showCameras = this.turning = this.decided = this.sorting = this.waiting = false;
    this.paper = this.sorted = 0;
    this.moved = 1; // counts changes of the view; `sorted` is the count that the order belongs to
    this.chosen = null;
    this.coarse = false;
    this.waiters = [];
    this.lastFrame = this.lastMove = 0;
    new ResizeObserver(() => this.invalidate()).observe(this.canvas);
    this.#buttons();
    this.#strip();
    this.#pointers();
    this.#keys();
    this.change();
  }

  // The view is another one: sort anew, draw anew.
  change() {
    this.moved++;
    this.lastMove = performance.now();
    this.#sort();
    this.invalidate();
  }

  invalidate() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame((now) => { this.waiting = false; this.#frame(now); });
  }

  // Resolves once the current view is drawn, in its own order and all its pixels.
  settled() {
    this.invalidate();
    return new Promise((resolve) => this.waiters.push(resolve));
  }

  look(camera) {
    this.setTurning(false);
    this.view.show(camera, this.scene.centre);
    this.change();
    return this.settled();
  }

  setTurning(on) {
    this.turning = on;
    this.phase = 0;
    this.decided = true;
    this.lastFrame = 0;
    element("turn").setAttribute("aria-pressed", on);
    if (on) this.invalidate();
  }

  setCameras(on) {
    this.showCameras = on;
    element("cameras").setAttribute("aria-pressed", on);
    element("strip").hidden = !on;
    this.invalidate();
  }

  choose(i) {
    this.chosen = i;
    return this.look(this.scene.cameras[i]);
  }

  home() {
    this.chosen = null;
    return this.look(this.scene.home);
  }

  nextPaper() {
    this.paper = (this.paper + 1) % PAPERS.length;
    this.canvas.style.background = PAPERS[this.paper];
  }

  // What is seen, on its background, as a PNG file.
  picture() {
    this.coarse = false;
    this.#resize();
    this.renderer.draw(this.view, this.#lines());
    const flat = document.createElement("canvas");
    flat.width = this.canvas.width;
    flat.height = this.canvas.height;
    const pen = flat.getContext("2d");
    pen.fillStyle = PAPERS[this.paper];
    pen.fillRect(0, 0, flat.width, flat.height);
    pen.drawImage(this.canvas, 0, 0);
    return new Promise((resolve) => flat.toBlob(resolve, "image/png"));
  }

  async #sort() {
    if (this.sorting) return;
    this.sorting = true;
    const asked = this.moved;
    const order = await this.sorter.sort(this.view.eye, this.view.forward);
    this.renderer.setOrder(order);
    this.sorted = asked;
    this.sorting = false;
    if (asked !== this.moved) this.#sort();
    this.invalidate();
  }

  // Radians of the next frame: all round, or to and fro where there is nothing behind.
  #turned(angle) {
    const { sway } = this.scene;
    if (!sway) return angle;
    const before = Math.sin(this.phase);
    this.phase += angle;
    return sway * (Math.sin(this.phase) - before);
  }

  #frame(now) {
    const took = this.lastFrame ? now - this.lastFrame : 0;
    const moving = now - this.lastMove < 250;
    if (this.turning) {
      this.view.turn(this.#turned(TURN_RATE * Math.min(took, 200) / 1000), 0);
      this.change();
    }
    this.lastFrame = moving || this.turning ? now : 0;
    this.coarse = moving && (this.coarse || took > SLOW_FRAME);
    this.#resize();
    if (!this.sorted) return; // there is no order yet; the first one brings us back
    this.renderer.draw(this.view, this.#lines());
    if (!this.timings.first) this.#first();
    if (this.coarse) return void setTimeout(() => this.invalidate(), 50);
    if (this.sorted !== this.moved) return;
    this.waiters.splice(0).forEach((tell) => tell());
  }

  #first() {
    this.renderer.finish();
    this.timings.first = performance.now();
    element("notice").textContent = "";
  }

  #resize() {
    const scale = Math.min(devicePixelRatio || 1, 2) * (this.coarse ? 0.5 : 1);
    const width = Math.max(1, Math.round(this.canvas.clientWidth * scale));
    const height = Math.max(1, Math.round(this.canvas.clientHeight * scale));
    if (this.canvas.width !== width || this.canvas.height !== height) {
      this.canvas.width = width;
      this.canvas.height = height;
    }
  }

  #lines() {
    if (!this.showCameras) return [];
    const ends = (cameras) => new Float32Array(cameras.flatMap((camera) => frustum(camera, this.scene.frustum)));
    const others = this.scene.cameras.filter((_, i) => i !== this.chosen);
    const lines = [{ points: ends(others), ink: [0.94, 0.6, 0.42, 1] }];
    if (this.chosen !== null) lines.push({ points: ends([this.scene.cameras[this.chosen]]), ink: [1, 1, 1, 1] });
    return lines;
  }

  #buttons() {
    element("turn").onclick = () => this.setTurning(!this.turning);
    element("cameras").onclick = () => this.setCameras(!this.showCameras);
    element("home").onclick = () => this.home();
    element("paper").onclick = () => this.nextPaper();
    element("picture").onclick = async () => {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(await this.picture());
      link.download = `${this.scene.name}.png`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    };
    element("cameras").hidden = !this.scene.cameras.length;
    const shown = this.scene.count.toLocaleString("en");
    const all = this.scene.total.toLocaleString("en");
    const splats = this.scene.count < this.scene.total ? `the ${shown} most visible of ${all} splats` : `${shown} splats`;
    const { degree, degrees } = this.scene;
    element("facts").textContent = degree < degrees ? `${splats}, harmonics of degree ${degree} of ${degrees}` : splats;
  }

  #strip() {
    for (const [i, { photo }] of this.scene.cameras.entries()) {
      const button = document.createElement("button");
      button.title = `look from camera ${i + 1}`;
      const inside = document.createElement(photo ? "img" : "span");
      if (photo) { inside.src = photo; inside.alt = button.title; } else inside.textContent = i + 1;
      button.append(inside);
      button.onclick = () => this.choose(i);
      element("strip").append(button);
    }
  }

  #pointers() {
    const held = new Map();
    const stage = this.canvas;
    const spread = () => {
      const [a, b] = [...held.values()];
      return { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2, gap: Math.max(Math.hypot(a.x - b.x, a.y - b.y), 1) };
    };
    stage.addEventListener("pointerdown", (event) => {
      stage.setPointerCapture(event.pointerId);
      held.set(event.pointerId, { x: event.clientX, y: event.clientY });
      this.setTurning(false);
    });
    stage.addEventListener("pointermove", (event) => {
      const from = held.get(event.pointerId);
      if (!from) return;
      const before = held.size === 2 ? spread() : null;
      const dx = event.clientX - from.x, dy = event.clientY - from.y;
      held.set(event.pointerId, { x: event.clientX, y: event.clientY });
      const size = [stage.clientWidth, stage.clientHeight];
      if (before) {
        const after = spread();
        this.view.zoom(before.gap / after.gap);
        this.view.pan(after.x - before.x, after.y - before.y, ...size);
      } else if (event.shiftKey || event.buttons & 6) {
        this.view.pan(dx, dy, ...size);
      } else {
        const radians = Math.PI / Math.min(...size);
        this.view.turn(-dx * radians, -dy * radians);
      }
      this.change();
    });
    for (const kind of ["pointerup", "pointercancel"]) {
      stage.addEventListener(kind, (event) => held.delete(event.pointerId));
    }
    stage.addEventListener("contextmenu", (event) => event.preventDefault());
    stage.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.setTurning(false);
      const lines = event.deltaMode ? 30 : 1; // Firefox counts lines
      this.view.zoom(Math.exp(Math.max(-300, Math.min(300, event.deltaY * lines)) * 0.0012));
      this.change();
    }, { passive: false });
  }

  #keys() {
    const moves = {
      ArrowLeft: () => this.view.turn(-0.1, 0), ArrowRight: () => this.view.turn(0.1, 0),
      ArrowUp: () => this.view.turn(0, -0.1), ArrowDown: () => this.view.turn(0, 0.1),
      "+": () => this.view.zoom(0.9), "-": () => this.view.zoom(1 / 0.9),
    };
    const clicks = { " ": "turn", c: "cameras", r: "home", b: "paper" };
    addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === " " && event.target.tagName === "BUTTON") return;
      const move = moves[event.key], click = clicks[event.key];
      if (!move && !click) return;
      event.preventDefault();
      if (click) return element(click).click();
      this.setTurning(false);
      move();
      this.change();
    });
  }
}

function start() {
  const scene = JSON.parse(element("scene").textContent);
  const bytes = bytesOfBase64(element("splats").textContent.trim());
  const splats = decodeSplats(scene, new Uint32Array(bytes.buffer, 0, scene.count * (5 + 4 * scene.degree)));
  element("splats").remove();
  const page = new Page(scene, splats);
  page.timings.unpacked = performance.now();
  page.canvas.addEventListener("webglcontextlost", () => {
    element("notice").textContent = "The graphics card was taken away; reload the page.";
  });
  const still = location.hash === "#still" || matchMedia("(prefers-reduced-motion: reduce)").matches;
  page.settled().then(() => { if (!still && !page.decided) page.setTurning(true); });
  window.fewview = page;
}

// A macrotask later, so that "Unpacking ..." is seen.
setTimeout(() => {
  try {
    start();
  } catch (error) {
    element("notice").textContent = `This scene cannot be shown: ${error.message}.`;
  }
}, 0);
