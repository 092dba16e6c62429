/* A structure of atoms in three dimensions, turned by hand. Loads 3Dmol (beside this file) only when one is drawn.
   Promises that nothing but the text that it was given is drawn, and nothing is fetched for it. */

const HERE = import.meta.url;
const MANY = 4000; // atoms from which on atoms are drawn as lines
let loading = null;

function library() {
  loading ??= new Promise((done, failed) => {
    if (window.$3Dmol) { done(window.$3Dmol); return; }
    const script = document.createElement("script");
    script.src = new URL("./vendor/3Dmol-2.5.5.min.js", HERE);
    script.onload = () => done(window.$3Dmol);
    script.onerror = () => { loading = null; failed(new Error("the viewer could not be loaded")); };
    document.head.append(script);
  });
  return loading;
}

/* What a text is: "xyz" begins with the number of its atoms; by its name or its look else. */
export function formatOf(text, name = "") {
  const ending = name.toLowerCase().split(".").at(-1);
  if (["xyz", "pdb", "mol2", "sdf", "cif", "gro"].includes(ending)) return ending;
  return /^\s*\d+\s*$/.test(text.split("\n", 1)[0]) ? "xyz" : "pdb";
}

const STYLES = {
  "Ball and stick": (view) => { view.setStyle({}, { stick: { radius: 0.13 }, sphere: { scale: 0.26 } }); },
  Spheres: (view) => { view.setStyle({}, { sphere: {} }); },
  Sticks: (view) => { view.setStyle({}, { stick: {} }); },
  Lines: (view) => { view.setStyle({}, { line: {} }); },
  Cartoon: (view) => { view.setStyle({}, { cartoon: { color: "spectrum" } }); view.setStyle({ hetflag: true }, { stick: { radius: 0.13 } }); },
};

export class Structure {
  /* `place`: an empty element; `text`: PDB or XYZ; `name`: the file's. */
  constructor(place, text, name = "") { Object.assign(this, { place, text, name }); }

  async draw() {
    const $3Dmol = await library();
    const { place } = this;
    const canvas = document.createElement("div");
    canvas.style.cssText = "position: relative; width: 100%; height: min(26rem, 70vh); border-radius: 4px; overflow: hidden;";
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "img");
    canvas.className = "canvas";
    place.replaceChildren(canvas);
    // Dark where the page around it is.
    canvas.style.backgroundColor = "light-dark(rgb(255, 255, 255), rgb(18, 23, 26))";
    const ground = () => (getComputedStyle(canvas).backgroundColor === "rgb(18, 23, 26)" ? "#12171a" : "#ffffff");
    const view = $3Dmol.createViewer(canvas, { backgroundColor: ground(), antialias: true });
    if (!view) throw new Error("this browser draws nothing in three dimensions (WebGL is off)");
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { view.setBackgroundColor(ground()); });
    view.addModel(this.text, formatOf(this.text, this.name));
    const atoms = view.selectedAtoms({});
    if (!atoms.length) { place.replaceChildren(); throw new Error(`no atom is found in ${this.name || "it"}`); }
    const residues = new Set(atoms.filter((atom) => atom.atom === "CA").map((atom) => `${atom.chain}${atom.resi}`));
    const names = Object.keys(STYLES).filter((one) => one !== "Cartoon" || residues.size > 2);
    const first = residues.size > 10 ? "Cartoon" : atoms.length > MANY ? "Lines" : "Ball and stick";
    canvas.setAttribute("aria-label", `${this.name}: ${atoms.length} atoms in three dimensions; arrows turn it, plus and minus bring it nearer`);
    this.tools(view, names, first, atoms.length);
    STYLES[first](view);
    this.fit(view);
    canvas.addEventListener("keydown", (event) => this.turn(view, event));
    new ResizeObserver(() => view.resize()).observe(canvas);
    this.view = view;
    return this;
  }

  /* All of it, with some room around it. */
  fit(view) {
    view.zoomTo();
    view.zoom(0.85);
    view.render();
  }

  turn(view, event) {
    const turns = { ArrowLeft: [-10, "y"], ArrowRight: [10, "y"], ArrowUp: [-10, "x"], ArrowDown: [10, "x"] };
    if (turns[event.key]) view.rotate(...turns[event.key]);
    else if (event.key === "+" || event.key === "=") view.zoom(1.2);
    else if (event.key === "-") view.zoom(0.8);
    else if (event.key === "0") this.fit(view);
    else return;
    event.preventDefault();
    view.render();
  }

  tools(view, names, first, atoms) {
    const row = document.createElement("div");
    row.className = "row tools";
    row.style.cssText = "display: flex; flex-wrap: wrap; gap: .4rem .7rem; align-items: center; margin: .4rem 0;";
    const label = document.createElement("label");
    label.textContent = "Drawn as ";
    const choice = document.createElement("select");
    choice.style.cssText = "font: inherit; color: inherit; background: inherit; min-height: 2rem;";
    for (const name of names) choice.add(new Option(name, name, name === first, name === first));
    choice.addEventListener("change", () => { STYLES[choice.value](view); view.render(); });
    label.append(choice);
    const back = document.createElement("button");
    back.type = "button";
    back.textContent = "As at first";
    back.addEventListener("click", () => this.fit(view));
    const told = document.createElement("span");
    told.className = "small soft";
    told.textContent = `${atoms} atom${atoms === 1 ? "" : "s"}; drag to turn, wheel or two fingers to come nearer`;
    row.append(label, back, told);
    this.place.append(row);
  }
}
