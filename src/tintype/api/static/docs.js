// Shows the service's own document. System fonts: nothing is loaded from elsewhere.
const fontFamily = "system-ui, sans-serif";
Redoc.init(
  "../openapi.json",
  {
    hideHostname: true,
    hideDownloadButton: false,
    sortRequiredPropsFirst: true,
    theme: { typography: { fontFamily, headings: { fontFamily } } },
  },
  document.getElementById("docs"),
);
