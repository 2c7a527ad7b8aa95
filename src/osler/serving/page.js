function element(tag, text = "", className = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

function option(text, value) {
  return Object.assign(element("option", text), {value});
}

function percent(probability) {
  if (probability === null) return "no probability";
  if (probability < 0.0005) return "< 0.1%";
  return probability > 0.9995 ? "> 99.9%" : `${(100 * probability).toFixed(1)}%`;
}

function inList(one, rank) {
  const item = element("li"), line = element("div", "", "line"), name = element("span", `${rank + 1}. ${one.name} `);
  if (one.link && /^https?:/.test(one.link)) {
    const link = element("a", one.label);
    Object.assign(link, {href: one.link, target: "_blank", rel: "noopener noreferrer"});
    link.append(element("span", " (opens in a new tab)", "heard"));
    name.append(link);
  } else if (one.label !== one.name) {
    name.append(element("span", one.label, "soft"));
  }
  line.append(name, element("b", percent(one.probability)));
  item.append(line);
  if (one.probability !== null) {
    const bar = element("div", "", "bar"), full = element("div");
    full.style.width = `${100 * one.probability}%`;
    bar.ariaHidden = "true";
    bar.append(full);
    item.append(bar);
  }
  return item;
}

