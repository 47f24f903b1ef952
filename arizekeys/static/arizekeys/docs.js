// Shows the OpenAPI document. The key typed under Authorize stays in this tab's memory and goes nowhere but to /v2.
const place = document.querySelector("[data-openapi]");

if (place && window.SwaggerUIBundle) {
  window.SwaggerUIBundle({
    url: place.dataset.openapi,
    domNode: place,
    deepLinking: true,
    persistAuthorization: false,
    validatorUrl: null,
    tryItOutEnabled: false,
    defaultModelsExpandDepth: 0,
    docExpansion: "list",
    presets: [window.SwaggerUIBundle.presets.apis],
    layout: "BaseLayout",
  });
}
